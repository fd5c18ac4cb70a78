package httpapi

import (
	"net/http"
	"time"

	"github.com/caddy-byoa/caddy-byoa/gateway"
)

// user is what the SDKs show of the signed-in user: what the external JWT said and what
// the directory knows, and nothing else.
type user struct {
	ID                   string `json:"id"`
	ProjectEnvironmentID string `json:"projectEnvironmentId"`
	SessionID            string `json:"sessionId"` // the token's sid

	// LastVerifiedCredentialID is the credential that this session was signed in with, as
	// the token says too.
	LastVerifiedCredentialID string       `json:"lastVerifiedCredentialId"`
	VerifiedCredentials      []credential `json:"verifiedCredentials"`

	// Scope is nothing that this gateway goes by. It must not name what React takes for a
	// step that is still to be done, such as requiresAdditionalAuth: it would not count the user as signed in.
	// Nor would it with an entry in MissingFields.
	Scope         string   `json:"scope"`
	MissingFields []string `json:"missingFields"`

	// NewUser is true in the answer to a user's first sign-in alone. FirstVisit and LastVisit
	// are left out where nobody has counted.
	NewUser    bool      `json:"newUser"`
	FirstVisit time.Time `json:"firstVisit,omitzero"`
	LastVisit  time.Time `json:"lastVisit,omitzero"`

	Email       string `json:"email,omitempty"` // where the login system vouches for it
	FirstName   string `json:"firstName,omitempty"`
	LastName    string `json:"lastName,omitempty"`
	Username    string `json:"username,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
}

// credential is one way in which the user is known. Its ID is the same wherever and
// whenever it is asked for. The names are the SDKs': some have underscores, others have not.
type credential struct {
	ID               string `json:"id"`
	Format           string `json:"format"`
	PublicIdentifier string `json:"public_identifier,omitempty"`
	Email            string `json:"email,omitempty"`
	SignInEnabled    bool   `json:"signInEnabled"`
}

// users answers who is signed in. It changes nothing: that somebody was here counts when they sign in.
func (a *API) users(w http.ResponseWriter, r *http.Request) {
	s, err := a.session(w, r)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	u, err := a.env.User(r.Context(), s)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	writeFresh(w, userOf(a.env.ID(), s, u))
}

func userOf(environment string, s *gateway.Session, known gateway.User) user {
	return user{
		ID:                       s.UserID,
		ProjectEnvironmentID:     environment,
		SessionID:                s.ID,
		LastVerifiedCredentialID: externalUser(environment, identityOf(s)).ID,
		VerifiedCredentials:      credentialsOf(environment, s, known),
		Scope:                    "user:basic",
		MissingFields:            []string{},
		NewUser:                  known.New,
		FirstVisit:               instant(known.FirstVisit),
		LastVisit:                instant(known.LastVisit),
		Email:                    s.Email,
		FirstName:                text(s, "given_name"),
		LastName:                 text(s, "family_name"),
		Username:                 text(s, "preferred_username"),
		PhoneNumber:              text(s, "phone_number"),
	}
}

// credentialsOf are the user's identities, and the address that the session's own vouches for.
func credentialsOf(environment string, s *gateway.Session, known gateway.User) []credential {
	var all []credential
	for _, identity := range known.Identities {
		all = append(all, externalUser(environment, identity))
	}
	if s.Email == "" {
		return all
	}
	return append(all, credential{
		ID:               gateway.CredentialID(environment, "email", s.Email),
		Format:           "email",
		PublicIdentifier: s.Email,
		Email:            s.Email,
	})
}

func externalUser(environment string, i gateway.Identity) credential {
	return credential{
		ID:               gateway.CredentialID(environment, "externalUser", i.Issuer, i.Subject),
		Format:           "externalUser",
		PublicIdentifier: i.Subject,
		SignInEnabled:    true,
	}
}

// identityOf is the identity that a session was signed in with.
func identityOf(s *gateway.Session) gateway.Identity {
	return gateway.Identity{Issuer: s.External.Issuer, Subject: s.ExternalID()}
}

// instant is t as JavaScript writes it: in UTC, to the millisecond (RFC 3339).
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func text(s *gateway.Session, claim string) string {
	value, _ := s.External.Get(claim)
	text, _ := value.(string)
	return text
}
