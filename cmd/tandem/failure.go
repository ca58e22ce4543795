package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"tandem/cmd/tandem/render"
	"tandem/node"
	"tandem/node/api/client"
	"tandem/node/config"
	"tandem/node/setup"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNoLeader    = 4
	exitBreached    = 5 // a threshold
	exitRefused     = 6 // by a guard: repeat with --yes
)

// failure is an error as people see it: what, why, next.
type failure struct {
	Code int
	What string // one line
	Why  string // may be empty; several lines are allowed
	Next string // a command, or what to look at
}

// Error implements error.
func (f *failure) Error() string { return f.What }

// text prints the three parts.
func (f *failure) text(p render.Printer) string {
	var b strings.Builder
	what, rest, _ := strings.Cut(f.What, "\n")
	fmt.Fprintf(&b, "%s %s\n", p.Bad("error:"), what)
	for _, block := range []string{rest, f.Why} {
		if block == "" {
			continue
		}
		for line := range strings.SplitSeq(block, "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	if f.Next != "" {
		fmt.Fprintf(&b, "  next: %s\n", f.Next)
	}
	return b.String()
}

// refused is a command that needs --yes.
func refused(what, why string) error {
	return &failure{Code: exitRefused, What: "refusing to " + what, Why: why, Next: "repeat with --yes"}
}

func usage(err error) *failure {
	what, more, _ := strings.Cut(err.Error(), "\n")
	return &failure{Code: exitUsage, What: what, Why: strings.TrimSpace(more)}
}

// badUsage is a mistake in a command line that only the command itself finds.
func badUsage(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// explain finds the three parts of an error. What stands before a problem of the
// API in the error's text says what was not done.
func explain(err error) *failure {
	var f *failure
	var problem *client.Problem
	var away *client.UnreachableError
	var file *config.Error
	var stranger x509.UnknownAuthorityError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &problem):
		return explainProblem(err, problem)
	case errors.As(err, &stranger):
		return &failure{
			Code: exitUnreachable, What: "the node's certificate is not of a known CA", Why: err.Error(),
			Next: "--ca FILE with the cluster's ca.pem (TANDEM_CA)",
		}
	case errors.As(err, &away):
		return &failure{
			Code: exitUnreachable, What: strings.TrimSuffix(err.Error(), away.Error()) + "no node answers at " + strings.Join(away.Addrs, ", "),
			Why: away.Err.Error(), Next: "tandem serve on that machine, or another node: --addr HOST:PORT (TANDEM_ADDR)",
		}
	case errors.As(err, &file):
		next := "tandem config check " + file.File
		if _, err := os.Stat(file.File); errors.Is(err, fs.ErrNotExist) {
			next = "--config FILE (TANDEM_CONFIG); tandem init makes one"
		}
		return &failure{Code: exitFailed, What: err.Error(), Next: next}
	case errors.Is(err, node.ErrInUse):
		return &failure{Code: exitFailed, What: err.Error(), Next: "see who has it open: fuser FILE; a node runs once on its data_dir"}
	case errors.Is(err, node.ErrNotInitialized):
		return &failure{Code: exitFailed, What: err.Error(), Next: "tandem init --nodes NAME=IP,... --dir DIR"}
	case errors.Is(err, setup.ErrExists):
		return &failure{
			Code: exitFailed, What: err.Error(), Why: "keys and certificates are never overwritten",
			Next: "give other nodes, or another --dir",
		}
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{Code: exitUnreachable, What: "no answer in time", Why: err.Error(), Next: "a longer --timeout, or another node: --addr"}
	case errors.Is(err, context.Canceled):
		return &failure{Code: exitFailed, What: "interrupted"}
	}
	return &failure{Code: exitFailed, What: err.Error()}
}

// maxRows is how many wrong rows or fields are printed.
const maxRows = 20

func explainProblem(err error, p *client.Problem) *failure {
	f := &failure{Code: exitFailed, What: err.Error(), Next: p.Hint}
	if strings.Contains(p.Hint, "openapi.json") {
		f.Next = "" // for programs; people get the command's --help
	}
	switch p.Code {
	case client.CodeNoLeader, client.CodeTimeout, client.CodeBusy:
		f.Code = exitNoLeader
	case client.CodeUnauthorized:
		f.Next = cmp.Or(f.Next, "--token tandem_<id>_<secret> (TANDEM_TOKEN); tandem init printed the first one")
	case client.CodeConflict:
		f.Next = cmp.Or(f.Next, "change what stands in the way first, then repeat")
	case client.CodeInvalid:
		f.Next = cmp.Or(f.Next, "correct it and repeat; nothing was changed")
	}
	lines := make([]string, 0, len(p.Errors))
	for i, e := range p.Errors {
		f.What = strings.Replace(f.What, e.Location, field(e.Location), 1)
		if i == maxRows {
			lines = append(lines, fmt.Sprintf("and %d more", len(p.Errors)-i))
			break
		}
		lines = append(lines, fieldText(e))
	}
	// One field error says what the detail says already.
	if len(lines) > 1 || len(p.Errors) == 1 && p.Errors[0].Row > 0 {
		f.Why = strings.Join(lines, "\n")
	}
	if p.Code == client.CodeNoLeader {
		f.Why, f.Next = p.Hint, "tandem members --stale"
	}
	return f
}

// field is the name of a field without the part of the request that it came in.
func field(location string) string {
	_, name, ok := strings.Cut(location, ".")
	if !ok {
		return location
	}
	return name
}

func fieldText(e client.FieldError) string {
	if e.Row == 0 {
		return field(e.Location) + ": " + e.Message
	}
	text := fmt.Sprintf("row %-6d", e.Row)
	if e.Column != "" {
		text += fmt.Sprintf(" %s %q ", e.Column, e.Value)
	}
	return text + " " + e.Message
}

// notFound takes a 404 out of an error when an object may be missing.
func notFound(err error, allowed bool) (bool, error) {
	if allowed && isNotThere(err) {
		return true, nil
	}
	return false, err
}

func isNotThere(err error) bool {
	var p *client.Problem
	if errors.As(err, &p) {
		return p.Code == client.CodeNotFound
	}
	var f *failure
	return errors.As(err, &f) && strings.HasSuffix(f.What, "is not there")
}

// exists refuses to create what is there.
func exists(kind, id, next string) error {
	return &failure{Code: exitFailed, What: fmt.Sprintf("%s %q is there already", kind, id), Why: "nothing was changed", Next: next}
}
