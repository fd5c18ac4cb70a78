#!/bin/sh
# Runs everything that must hold: the build, the linters, the search for known vulnerabilities,
# all tests with the race detector (those from outside included), and every fuzz target
# for some seconds.
#
#	./test.sh
#	FUZZTIME=1h ./test.sh fuzz   # nothing but the fuzzing, each target for an hour
#
# It needs Go. Of a C compiler, Git, curl, Node.js 20, npm and Chromium it installs what is
# missing, on Debian and with the right to. FUZZTIME is how long each fuzz target runs, as in
# `go test -fuzztime`; the default is a number of inputs. GOVULNDB is the database of known
# vulnerabilities, by default https://vuln.go.dev; where it cannot be reached, that search is not
# made, and the last line says so.
set -eu
cd "$(dirname "$0")"
export GOWORK=off # a workspace around the checkout is not ours to test in

began=$(date +%s)
current="starting"
unchecked=
trap 'status=$?; [ $status -eq 0 ] || echo "test.sh: FAILED while $current" >&2' EXIT

# step runs a function under a title and says how long it took.
step() {
	current=$1
	echo "== $current"
	since=$(date +%s)
	"$2"
	echo "-- $current took $(($(date +%s) - since)) s"
}

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif has sudo; then
		sudo -n "$@"
	else
		echo "cannot install what is missing without root or sudo: $*" >&2
		return 1
	fi
}

requirements() {
	if ! has go; then
		echo "Go is missing; go.mod says which version: https://go.dev/dl/" >&2
		return 1
	fi
	missing=
	has git || missing="$missing git"
	has "$(go env CC)" || missing="$missing gcc libc6-dev" # the race detector needs cgo
	has node || missing="$missing nodejs"
	has npm || missing="$missing npm"
	has curl || missing="$missing curl"
	has chromium || missing="$missing chromium"
	if [ -n "$missing" ]; then
		if ! has apt-get; then
			echo "missing, and no apt-get to install it with:$missing" >&2
			return 1
		fi
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
		# shellcheck disable=SC2086 # a list of words
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
	fi
	if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)'; then
		echo "Node.js is $(node --version), want 20 or newer" >&2
		return 1
	fi
}

javascript() {
	for package in e2e/*/package.json examples/*/package.json; do
		(cd "${package%/package.json}" && npm ci --ignore-scripts)
	done
}

binary() { ./xcaddy.sh; }

vet() { go vet ./...; }

# Built from tools/lint, whose go.sum has the checksums of all that is in it.
lint() {
	go build -C tools/lint -o ../../.cache/bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	GOLANGCI_LINT_CACHE=$PWD/.cache/golangci-lint .cache/bin/golangci-lint run ./...
}

# A vulnerability whose code is reached is status 3 of govulncheck.
vulnerabilities() {
	database=${GOVULNDB:-https://vuln.go.dev}
	go build -C tools/vuln -o ../../.cache/bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	if curl -fsS --max-time 30 --retry 2 -o /dev/null "$database/index/db.json"; then
		.cache/bin/govulncheck -db "$database" ./...
	else
		unchecked="; NOT CHECKED: known vulnerabilities, for $database cannot be reached"
		echo "not checked: $database cannot be reached; set GOVULNDB to a copy of it"
	fi
}

tests() {
	CHROMIUM=$(command -v chromium)
	export CHROMIUM
	CGO_ENABLED=1 go test -race -timeout 30m ./...
}

fuzz() {
	find . -name '*_test.go' -not -path './.cache/*' -not -path './tools/*' \
		-exec grep -l '^func Fuzz' {} + | xargs -r -n 1 dirname | sort -u |
		while read -r package; do
			targets=$(go test -list '^Fuzz' "$package")
			for target in $(echo "$targets" | grep '^Fuzz'); do
				go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5000x}" "$package"
			done
		done
}

if [ "${1:-}" = fuzz ]; then
	step "fuzzing" fuzz
	exit
fi
step "looking for what is needed" requirements
step "installing the JavaScript of e2e and examples" javascript
step "building the binary with xcaddy.sh" binary
step "running go vet" vet
step "running the linters" lint
step "looking for known vulnerabilities" vulnerabilities
step "running the tests" tests
step "fuzzing" fuzz

echo "test.sh: all passed, in $(($(date +%s) - began)) s$unchecked"
