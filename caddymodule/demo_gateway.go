package caddymodule

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// demoCaddyfile is Caddyfile.example, byte for byte; a test holds the two together.
//
//go:embed demo.Caddyfile
var demoCaddyfile []byte

// demoEnvironment is the environment of the example that the demo shows.
const demoEnvironment = "production"

// demoGateway is the example config with the addresses of one demo.
type demoGateway struct {
	config        *caddy.Config
	environmentID string
}

// demoAddresses are what the example leaves open.
type demoAddresses struct {
	gateway, upstream string // host and port
	issuer            string
	app               string // an origin
}

// setVariables puts them into the variables that the example names.
func (a demoAddresses) setVariables() error {
	for name, value := range map[string]string{
		"BYOA_SITE":       "http://" + a.gateway,
		"BYOA_UPSTREAM":   a.upstream,
		"BYOA_ISSUER":     a.issuer,
		"BYOA_JWKS_URL":   a.issuer + demoJWKSPath,
		"BYOA_APP_ORIGIN": a.app,
	} {
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}

// newDemoGateway adapts the example as Caddy would for anybody. What a demo must not do
// to its machine is set after.
func newDemoGateway(at demoAddresses, data demoData) (*demoGateway, error) {
	if err := at.setVariables(); err != nil {
		return nil, err
	}
	adapter := caddyconfig.GetAdapter("caddyfile")
	if adapter == nil {
		return nil, errors.New("this build of Caddy cannot read a Caddyfile")
	}
	adapted, _, err := adapter.Adapt(demoCaddyfile, map[string]any{"filename": "Caddyfile.example"})
	if err != nil {
		return nil, fmt.Errorf("adapting the example: %w", err)
	}
	g := &demoGateway{config: new(caddy.Config)}
	if err := json.Unmarshal(adapted, g.config); err != nil {
		return nil, fmt.Errorf("decoding the example: %w", err)
	}
	if err := g.readEnvironment(); err != nil {
		return nil, err
	}
	if err := g.confine(at.gateway, data.storage()); err != nil {
		return nil, err
	}
	return g, g.quieten(data.log)
}

func (g *demoGateway) readEnvironment() error {
	var app App
	if err := json.Unmarshal(g.config.AppsRaw["byoa"], &app); err != nil {
		return fmt.Errorf("decoding the example: %w", err)
	}
	e := app.Environments[demoEnvironment]
	if e == nil {
		return fmt.Errorf("the example has no environment %s", demoEnvironment)
	}
	g.environmentID = e.ID
	return nil
}

// confine keeps the gateway to one loopback address and one directory: a site's address
// only says for which host it answers, and Caddy listens for it everywhere.
func (g *demoGateway) confine(listen, storage string) error {
	var http caddyhttp.App
	if err := json.Unmarshal(g.config.AppsRaw["http"], &http); err != nil {
		return fmt.Errorf("decoding the example: %w", err)
	}
	for _, server := range http.Servers {
		server.Listen = []string{listen}
	}
	g.config.AppsRaw["http"] = caddyconfig.JSON(http, nil)

	persist := false
	g.config.Admin = &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &persist}}
	g.config.StorageRaw = caddyconfig.JSON(map[string]string{"module": "file_system", "root": storage}, nil)
	if _, ok := g.config.AppsRaw["tls"]; !ok {
		// The cleaning could still be writing when the directory is removed.
		g.config.AppsRaw["tls"] = json.RawMessage(`{"disable_storage_clean":true}`)
	}
	return nil
}

// quieten keeps the log from drowning what the demo prints. It goes to a file, where one
// is given; only errors go to standard error otherwise, because a log writes when all
// else has ended, and would bring back a directory that is removed by then.
func (g *demoGateway) quieten(file string) error {
	logs := g.config.Logging
	if logs == nil || logs.Logs["default"] == nil {
		return errors.New("the example has no default log")
	}
	if file == "" {
		logs.Logs["default"].Level = zap.ErrorLevel.CapitalString()
		return nil
	}
	logs.Logs["default"].WriterRaw = caddyconfig.JSON(map[string]string{"output": "file", "filename": file}, nil)
	return nil
}

// keepNonces puts the same key under the nonces of every demo. A page keeps its nonces for
// days, and each of those that the demo before gave out would cost it a refused sign-in. That
// anybody can make nonces of this key is no loss: the demo signs in whoever asks.
func keepNonces(storage, environmentID string) error {
	key := sha256.Sum256([]byte("caddy byoa demo"))
	kept := nonceKeyOf(&certmagic.FileStorage{Path: storage}, environmentID)
	if err := kept.Save(context.Background(), key[:]); err != nil {
		return fmt.Errorf("writing the demo's nonce key: %w", err)
	}
	return nil
}
