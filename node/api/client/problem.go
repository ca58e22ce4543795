package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Problem is an error of the API (RFC 9457). Detail says what was refused and
// why, Hint what to do next.
type Problem struct {
	Type   string       `json:"type" doc:"Stable reference of the kind of problem"`
	Title  string       `json:"title" doc:"The kind of problem in words"`
	Status int          `json:"status" doc:"HTTP status"`
	Code   string       `json:"code" doc:"The kind of problem for programs" example:"no-leader"`
	Detail string       `json:"detail" doc:"What was refused, and why"`
	Hint   string       `json:"hint,omitempty" doc:"What to do next"`
	Errors []FieldError `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, in full"`
	Index  uint64       `json:"index,omitempty" doc:"Log index of the decision"`
	Node   string       `json:"node,omitempty" doc:"Node that answered"`

	// RetryAfter is the header of that name, 0 without.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is one thing that is wrong with a request.
type FieldError struct {
	Location string `json:"location,omitempty" doc:"Where: body.currency, query.limit, row 17 column prefix"`
	Message  string `json:"message" doc:"Why"`
	Value    string `json:"value,omitempty" doc:"What was sent"`
	Row      int    `json:"row,omitempty" doc:"Line of an imported file; the header is line 1"`
	Column   string `json:"column,omitempty" doc:"Column of an imported file"`
}

// The codes that programs act on. The others are the state machine's refusals
// in words.
const (
	CodeNoLeader     = "no-leader"
	CodeTimeout      = "not-committed"
	CodeBusy         = "busy"
	CodeUnauthorized = "unauthorized"
	CodeForbidden    = "forbidden"
	CodeNotFound     = "not-found"
	CodeConflict     = "conflict"
	CodeInvalid      = "invalid"
	CodeKeyReused    = "key-reused"
	CodeKeyMissing   = "key-missing"
	CodeFull         = "full"
	CodeUnsupported  = "unsupported"
	CodeRateLimited  = "rate-limited"
	CodeTooLarge     = "too-large"
	CodeInternal     = "internal"
	CodeExpired      = "expired"
)

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of a problem in JSON.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// problemOf reads a refusal. What is no problem of the API comes from something
// in between, so its beginning is shown.
func problemOf(res *http.Response, body []byte, wait time.Duration) *Problem {
	p := &Problem{}
	if err := json.Unmarshal(body, p); err != nil || p.Code == "" {
		text, _, _ := strings.Cut(strings.TrimSpace(string(body[:min(len(body), 200)])), "\n")
		*p = Problem{Code: CodeInternal, Detail: fmt.Sprintf("HTTP %s: %s", res.Status, text)}
	}
	p.Status, p.RetryAfter = res.StatusCode, wait
	return p
}
