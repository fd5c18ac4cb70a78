package caddymodule_test

import "strings"

// gatewaySeeds are requests that are let through, such that are not, often for one thing alone, and one for
// each endpoint. {external} and the like stand for a token.
func gatewaySeeds(prefix string) (through, refused, endpoints []string) {
	const (
		end    = "\r\n\r\n"
		nobody = " HTTP/1.1\r\nHost: a"
		alice  = nobody + "\r\nAuthorization: Bearer {external}"
		again  = nobody + "\r\nAuthorization: Bearer {session}"
	)
	through = []string{
		"GET /read/1" + alice + end, "GET /read/1" + again + end, "HEAD /Read/1/" + alice + end, "GET http://b/read/1" + alice + end,
		"GET /read/1?token={external}" + nobody + end, "GET /read/1" + nobody + "\r\nCookie: jwt={external}; a=b" + end,
		"GET /read/1" + alice + "\r\nX_User_Email: evil\r\nX.User.Id: evil\r\nX-User-Email: evil\r\nX-User-Id: evil\r\nX-HTTP-Method-Override: POST\r\nX-Original-URL: /pay\r\nConnection: x-user-id, Authorization" + end,
		"GET /read/ws" + again + "\r\nConnection: Upgrade\r\nUpgrade: websocket" + end,
		"POST /pay/1" + alice + "\r\nX-Dyn-Elevated-Access-Token: {elevated}" + end,
		"POST /pay/1" + alice + "\r\nX-Dyn-Elevated-Access-Token: {elevated}\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n1\r\na\r\n0\r\nAuthorization: Bearer x" + end,
		"OPTIONS /pay/1" + alice + "\r\nOrigin: https://a\r\nAccess-Control-Request-Method: POST" + end,
	}
	refused = []string{
		"GET /read/1" + nobody + end, "GET /read/1" + nobody + "\r\nAuthorization: Bearer {elevated}" + end, "GET /other" + alice + end,
		"GET /read/1" + nobody + "\r\nCookie: session={session}; jwt={external}; session=x" + end,
		"GET /read/1" + alice + "\r\nAuthorization: Bearer {session}" + end, "GET /read/1?token={external}&token={external}" + nobody + end,
		"POST /pay/1" + alice + end, "POST /pay/1" + alice + "\r\nX-Dyn-Elevated-Access-Token: {session}" + end,
		"POST /pay/1" + alice + "\r\nX-Step-Up-Assertion: {assertion}" + end, // used up already
		"get /read/1" + alice + end, "TRACE /read/1" + alice + end, "GET x:read" + alice + end,
		"GET /read/..%2fpay/1" + alice + end, "GET /read/%252e%252e/pay" + alice + end, "GET //read;a/1" + alice + end,
	}
	post := func(path, body string) string {
		return "POST " + path + again + "\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n" + body
	}
	endpoints = []string{
		post(prefix+"/externalAuth/signin", `{"jwt":"{external}"}`), post(prefix+"/externalAuth/verify", `{"jwt":"{assertion}"}`),
		post(prefix+"/stepUp/check", `{"scope":"pay"}`), post(prefix+"/sdkSettings", `{}`), post(prefix+"/refresh", ""),
		strings.Replace(post(prefix+"/revoke", ""), "{session}", "{bob}", 1), // who is needed for nothing else
		post("/api/v0/environments/"+environmentID+"/externalJwt/check", `{"encodedJwt":"{external}"}`),
	}
	for _, path := range []string{"/settings", "/nonces", "/nonce", "/users", "/.well-known/jwks.json"} {
		endpoints = append(endpoints, "GET "+prefix+path+again+end)
	}
	return through, refused, endpoints
}
