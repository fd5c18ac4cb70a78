package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// checkTimeout bounds all that `caddy byoa check` waits for.
const checkTimeout = 30 * time.Second

// checkOrder is what `caddy byoa check` is asked for.
type checkOrder struct {
	config, adapter, environment, issuer string

	assertion bool
	subject   string
}

func newCheckCommand() *cobra.Command {
	var o checkOrder
	cmd := &cobra.Command{
		Use:   "check --config <file> [--environment <name>] [--assertion --subject <id>] <token>|-",
		Short: "Says what is right and wrong with a token",
		Long: `
Holds a token against every rule of an environment, and prints one line for each: its
name, ok or FAILED, and what was wrong. All rules are tried, not only up to the first
that fails; but where there are several login systems, only the form and the issuer of a
token that none of them has issued. With --assertion the token is judged as an assertion
about the signed-in user --subject, otherwise as an external JWT that signs in.

The config is loaded and not started. The issuer's keys are fetched from where the
config says. Nothing else is read and nothing written: neither the store, so that it is
not known whether a token was revoked or an assertion used before, nor the signing keys.

Write - for the token and give it on standard input, so that it is neither in the
shell's history nor in the list of processes. It is never printed.

The rules are those of the provider that the token names as its issuer, or --issuer.

The exit code is 0 if every check passes. It is 1 if one fails, and also if there was
nothing to check: then standard output is empty.`,
		Example: `  $ caddy byoa check --config Caddyfile - < token.txt
  $ caddy byoa check --config Caddyfile --assertion --subject alice - < assertion.txt`,
		Args: oneToken,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args[0])
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.config, "config", "c", "", "Configuration file (default: the Caddyfile of the current directory)")
	flags.StringVarP(&o.adapter, "adapter", "a", "", "Name of the config adapter to apply")
	flags.StringVar(&o.environment, "environment", "", "The environment (default: the only one, or the one named default)")
	flags.StringVar(&o.issuer, "issuer", "", "The provider to judge by (default: the one that the token names)")
	flags.BoolVar(&o.assertion, "assertion", false, "Judge the token as an assertion")
	flags.StringVar(&o.subject, "subject", "", "The signed-in user that the assertion has to be about")
	return cmd
}

// noArguments does not repeat what was given, as cobra would: it could be a token in the wrong place.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("%d arguments: this command takes flags alone", len(args))
	}
	return nil
}

// oneToken does not repeat what was typed either.
func oneToken(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d arguments: give one token, or - to read it from standard input", len(args))
	}
	return nil
}

func (o *checkOrder) run(cmd *cobra.Command, argument string) error {
	if err := o.check(argument); err != nil {
		return err
	}
	token, err := readToken(cmd.InOrStdin(), argument)
	if err != nil {
		return err
	}
	j, err := loadJudge(o)
	if err != nil {
		return err
	}
	defer j.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), checkTimeout)
	defer cancel()
	checks, err := j.try(ctx, token)
	if err != nil {
		return err
	}
	return printChecks(cmd.OutOrStdout(), checks)
}

func (o *checkOrder) check(argument string) error {
	switch {
	case o.assertion && o.subject == "":
		return errors.New("--assertion needs --subject, the signed-in user that it has to be about")
	case !o.assertion && o.subject != "":
		return errors.New("--subject is for assertions: add --assertion")
	case o.config == "-" && argument == "-":
		return errors.New("config and token cannot both come from standard input")
	}
	return nil
}

// maxTokenInput is more than any environment accepts.
const maxTokenInput = 2 << 20

func readToken(stdin io.Reader, argument string) (string, error) {
	if argument == "-" {
		content, err := io.ReadAll(io.LimitReader(stdin, maxTokenInput))
		if err != nil {
			return "", fmt.Errorf("reading the token from standard input: %w", err)
		}
		argument = strings.TrimSpace(string(content))
	}
	if argument == "" {
		return "", errors.New("the token is empty")
	}
	return argument, nil
}

// printChecks prints the checks. Its error says how many failed.
func printChecks(w io.Writer, checks []verifier.Check) error {
	failed := 0
	for _, c := range checks {
		line := fmt.Sprintf("%-13s ok", c.Name)
		if c.Err != nil {
			failed++
			line = fmt.Sprintf("%-13s FAILED  %s", c.Name, verdictText(c.Err))
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return nil
}

// verdictText is a verdict as the gateway would give it: the code for programs, the words for people.
func verdictText(err error) string {
	if code := verifier.CodeOf(err); code != "" {
		return string(code) + ": " + err.Error()
	}
	return err.Error()
}
