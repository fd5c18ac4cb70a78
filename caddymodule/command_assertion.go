package caddymodule

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/spf13/cobra"

	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// assertionOrder is what `caddy byoa assertion` is asked for.
type assertionOrder struct {
	key, subject, scope, lifetime string
	issuer, audience, typ         string
	kid, algorithm                string
}

func newAssertionCommand() *cobra.Command {
	var o assertionOrder
	cmd := &cobra.Command{
		Use:   `assertion --key <file> --subject <id> --scope "<scope...>"`,
		Short: "Signs an assertion to test a step-up with",
		Long: `
Signs an assertion: the proof, made by the login system's backend, that a user may
do what the scopes say, once, now. It prints the token alone. This is for tests, with
a key whose public half is in the JWKS of the environment's issuer; in production the
backend signs.

The key is a private one in PEM (PKCS #8, SEC 1 or PKCS #1), not encrypted, or a JWK.
Its kid comes from the JWK or from --kid. The algorithm follows from the key: ES256,
ES384 or ES512 by its curve, EdDSA, or RS256, for which --algorithm can name another
of the RS and PS ones. The jti is random, so each assertion serves once.

--type and --audience must be what the environment's assertion block says.`,
		Example: `  $ caddy byoa assertion --key backend.pem --kid k1 --subject alice --scope wallet:export \
        --type step-up+jwt --audience byoa-step-up`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := o.sign(time.Now())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.key, "key", "", "File with the private key (required)")
	flags.StringVar(&o.subject, "subject", "", "The sub: the user's id at the login system (required)")
	flags.StringVar(&o.scope, "scope", "", "What the user may do, separated by single spaces (required)")
	flags.StringVar(&o.lifetime, "lifetime", "1m", "How long the assertion is good for")
	flags.StringVar(&o.issuer, "issuer", "", "The iss (default: left out)")
	flags.StringVar(&o.audience, "audience", "", "The aud (default: left out)")
	flags.StringVar(&o.typ, "type", "JWT", "The typ header")
	flags.StringVar(&o.kid, "kid", "", "The kid header (default: that of the JWK, if any)")
	flags.StringVar(&o.algorithm, "algorithm", "", "The alg header (default: by the key)")
	return cmd
}

// sign makes the assertion as of now.
func (o *assertionOrder) sign(now time.Time) (string, error) {
	lifetime, err := o.check()
	if err != nil {
		return "", err
	}
	file, err := readKeyFile(o.key)
	if err != nil {
		return "", err
	}
	s, err := newSigner(file.key, cmp.Or(o.algorithm, file.algorithm), cmp.Or(o.kid, file.kid))
	if err != nil {
		return "", fmt.Errorf("using the key %s: %w", o.key, err)
	}
	claims := assertionClaims(o.subject, o.scope, now, lifetime)
	if o.issuer != "" {
		claims["iss"] = o.issuer
	}
	if o.audience != "" {
		claims["aud"] = o.audience
	}
	return s.sign(o.typ, claims)
}

// check refuses what no gateway would accept, and returns the lifetime.
func (o *assertionOrder) check() (time.Duration, error) {
	switch {
	case o.key == "":
		return 0, errors.New("--key: name the file with the private key")
	case o.subject == "":
		return 0, errors.New("--subject: name the user, by the id at the login system")
	}
	if _, err := verifier.ParseScopes(o.scope); err != nil {
		return 0, fmt.Errorf("--scope: %w", err)
	}
	lifetime, err := caddy.ParseDuration(o.lifetime)
	if err != nil {
		return 0, fmt.Errorf("--lifetime: %w", err)
	}
	if lifetime < time.Second {
		return 0, fmt.Errorf("--lifetime: %s is shorter than a second", lifetime)
	}
	return lifetime, nil
}

// assertionClaims are those that every assertion has, with a jti of its own.
func assertionClaims(subject, scope string, now time.Time, lifetime time.Duration) map[string]any {
	return map[string]any{
		"sub":   subject,
		"scope": scope,
		"jti":   rand.Text(),
		"iat":   now.Unix(),
		"exp":   now.Add(lifetime).Unix(),
	}
}
