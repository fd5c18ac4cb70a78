package httpapi

import "net/http"

// settings are what the SDKs ask for before anything else, also while the environment is
// switched off, so that they can start and say so. Anybody may ask, so this is all that is
// told: not whom the environment trusts, nor where the keys are.
type settings struct {
	// EnvironmentName is one of the two that the SDKs know, sandbox and live.
	EnvironmentName string `json:"environmentName"`

	// Chains and KYC are about wallets and forms, which there are none of. The SDKs read
	// both lists, and do not start without.
	Chains []struct{} `json:"chains"`
	KYC    []struct{} `json:"kyc"`

	// Design and SDK are read by React, member by member, and may be empty. General and
	// Privacy have to be there by the SDKs' types.
	Design  struct{} `json:"design"`
	SDK     struct{} `json:"sdk"`
	General struct{} `json:"general"`
	Privacy struct{} `json:"privacy"`

	Security security `json:"security"`
}

type security struct {
	Auth         authSettings     `json:"auth"`
	ExternalAuth externalSettings `json:"externalAuth"`
}

// authSettings say where the SDKs keep the session: "cookie" has them send cookies with
// each call and ask for a refresh when they start.
type authSettings struct {
	Storage []string `json:"storage"`
}

// externalSettings are about the external JWT. A CookieName has the same effect on the SDKs
// as the storage "cookie", and they may sign in without a JWT in the body.
type externalSettings struct {
	Enabled    bool    `json:"enabled"`
	CookieName *string `json:"cookieName"`
}

// settings answers as things stand now: an operator may have switched the environment off.
func (a *API) settings(w http.ResponseWriter, r *http.Request) {
	by, err := a.env.DisabledBy()
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	out := settings{
		EnvironmentName: "live",
		Chains:          []struct{}{},
		KYC:             []struct{}{},
		Security: security{
			Auth:         authSettings{Storage: []string{a.storage()}},
			ExternalAuth: externalSettings{Enabled: by == ""},
		},
	}
	if name := a.options.ExternalCookie; name != "" {
		out.Security.ExternalAuth.CookieName = &name
	}
	writeFresh(w, out)
}

func (a *API) storage() string {
	if a.options.SessionCookie != "" {
		return "cookie"
	}
	return "localstorage"
}

// sdkSettings takes what React tells of the page that it runs in, and forgets it.
func (a *API) sdkSettings(w http.ResponseWriter, r *http.Request) {
	var telemetry struct{}
	if err := readBody(r, &telemetry); err != nil {
		a.refuse(w, r, err)
		return
	}
	writeNothing(w)
}
