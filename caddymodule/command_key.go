package caddymodule

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxKeyFile bounds a key file, which is a few KiB.
const maxKeyFile = 1 << 20

// A keyFile is a private key, and what a JWK says about its use.
type keyFile struct {
	key            crypto.Signer
	kid, algorithm string // of a JWK; else empty
}

// readKeyFile reads a private key from PEM (PKCS #8, SEC 1 or PKCS #1) or a JWK.
// Errors say what the file is and is not, and never show what is in it.
func readKeyFile(path string) (*keyFile, error) {
	content, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	var k *keyFile
	switch trimmed := bytes.TrimSpace(content); {
	case bytes.HasPrefix(trimmed, []byte("{")):
		k, err = parseJWK(trimmed)
	case bytes.Contains(trimmed, []byte("-----BEGIN ")):
		k, err = parsePEM(trimmed)
	default:
		err = errors.New("is neither PEM nor a JWK")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the key: %s %w", path, err)
	}
	return k, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(content) > maxKeyFile {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return content, err
}

// parsePEM takes the first private key. What openssl writes before it (EC
// PARAMETERS) is passed over.
func parsePEM(content []byte) (*keyFile, error) {
	seen := "has no complete PEM block"
	for {
		block, rest := pem.Decode(content)
		if block == nil {
			return nil, errors.New(seen)
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("is encrypted; decrypt it first, for instance with openssl pkey")
		}
		key, err := parseBlock(block)
		if key != nil || err != nil {
			return key, err
		}
		seen = fmt.Sprintf("has no private key, only %s", block.Type)
		content = rest
	}
}

// parseBlock returns neither a key nor an error for a block of a type that holds none.
func parseBlock(block *pem.Block) (*keyFile, error) {
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("has a malformed %s: %w", block.Type, err)
	}
	signing, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("is a key that signs nothing: use an EC, RSA or Ed25519 key")
	}
	return &keyFile{key: signing}, nil
}
