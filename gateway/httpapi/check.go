package httpapi

import (
	"net/http"

	"github.com/caddy-byoa/caddy-byoa/gateway"
	"github.com/caddy-byoa/caddy-byoa/verifier"
)

// Report is what became of a token that was held against every rule.
type Report struct {
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"` // of the rules that it breaks; empty, not null, where it breaks none
	Checks []Check  `json:"checks"`
}

// Check is one rule. Detail says in words what was wrong.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// ServeCheck answers a question about a token, as [Judge] does.
func (a *API) ServeCheck(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, endpoint{http.MethodPost, a.check})
}

func (a *API) check(w http.ResponseWriter, r *http.Request) {
	report, err := Judge(r, a.env)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeFresh(w, report)
}

// Judge reads a question from the body of r and has env answer it: about an external
// JWT, or about an assertion and the user it has to be about, by the rules of the provider
// that the token names or that is chosen: {"encodedJwt", "assertion", "subject", "issuer"}.
// It spends nothing and fetches nothing, so anybody may ask who may know which rules there
// are. Its error is about the question, a [gateway.CodeBadRequest]; what is wrong with the
// token stands in the report.
func Judge(r *http.Request, env *gateway.Environment) (Report, error) {
	var in struct {
		EncodedJWT string `json:"encodedJwt"`
		Assertion  string `json:"assertion"`
		Subject    string `json:"subject"`
		Issuer     string `json:"issuer"`
	}
	if err := readBody(r, &in); err != nil {
		return Report{}, err
	}
	if (in.EncodedJWT == "") == (in.Assertion == "") {
		return Report{}, badRequest("the body must hold either encodedJwt, or assertion and subject")
	}
	ctx := verifier.WithoutFetch(r.Context())
	if in.EncodedJWT != "" {
		return reportOn(env.Check(ctx, in.EncodedJWT, in.Issuer))
	}
	return reportOn(env.CheckAssertion(ctx, in.Assertion, in.Subject, in.Issuer))
}

func reportOn(checks []verifier.Check, err error) (Report, error) {
	if err != nil {
		return Report{}, err
	}
	report := Report{Valid: true, Errors: []string{}, Checks: make([]Check, 0, len(checks))}
	for _, c := range checks {
		entry := Check{Name: c.Name, OK: c.Err == nil}
		if c.Err != nil {
			entry.Detail = c.Err.Error()
			report.Valid = false
			report.Errors = append(report.Errors, string(gateway.CodeOf(c.Err)))
		}
		report.Checks = append(report.Checks, entry)
	}
	return report, nil
}
