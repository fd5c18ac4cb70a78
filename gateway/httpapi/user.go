package httpapi

import (
	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// user is what the SDKs show of the signed-in user: what the external JWT said, and nothing else.
type user struct {
	ID                       string       `json:"id"`
	ProjectEnvironmentID     string       `json:"projectEnvironmentId"`
	SessionID                string       `json:"sessionId"`
	LastVerifiedCredentialID string       `json:"lastVerifiedCredentialId"`
	VerifiedCredentials      []credential `json:"verifiedCredentials"`
	Scope                    string       `json:"scope"`
	MissingFields            []string     `json:"missingFields"`
	Email                    string       `json:"email,omitempty"`
	FirstName                string       `json:"firstName,omitempty"`
	LastName                 string       `json:"lastName,omitempty"`
	Username                 string       `json:"username,omitempty"`
	PhoneNumber              string       `json:"phoneNumber,omitempty"`
}

// credential is one way in which the user is known.
type credential struct {
	ID               string `json:"id"`
	Format           string `json:"format"`
	PublicIdentifier string `json:"public_identifier,omitempty"`
	Email            string `json:"email,omitempty"`
	SignInEnabled    bool   `json:"signInEnabled"`
}

func userOf(environment string, s *gateway.Session) user {
	external := externalUser(environment, s)
	u := user{
		ID:                       s.UserID,
		ProjectEnvironmentID:     environment,
		SessionID:                s.ID,
		LastVerifiedCredentialID: external.ID,
		VerifiedCredentials:      []credential{external},
		Scope:                    "user:basic",
		MissingFields:            []string{},
		Email:                    s.Email,
		FirstName:                text(s, "given_name"),
		LastName:                 text(s, "family_name"),
		Username:                 text(s, "preferred_username"),
		PhoneNumber:              text(s, "phone_number"),
	}
	if s.Email != "" {
		u.VerifiedCredentials = append(u.VerifiedCredentials, credential{
			ID:               gateway.CredentialID(environment, "email", s.Email),
			Format:           "email",
			PublicIdentifier: s.Email,
			Email:            s.Email,
		})
	}
	return u
}

func externalUser(environment string, s *gateway.Session) credential {
	return credential{
		ID:               gateway.CredentialID(environment, "externalUser", s.External.Issuer, s.ExternalID()),
		Format:           "externalUser",
		PublicIdentifier: s.ExternalID(),
		SignInEnabled:    true,
	}
}

func text(s *gateway.Session, claim string) string {
	value, _ := s.External.Get(claim)
	text, _ := value.(string)
	return text
}
