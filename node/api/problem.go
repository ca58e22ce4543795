package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tandem/cluster"
	"tandem/fsm"
	"tandem/fsm/wire"
	"tandem/node/api/client"
)

// refusal is a problem as handlers return it: huma takes status, content type
// and headers from its methods.
type refusal struct{ client.Problem }

// Error implements error.
func (r *refusal) Error() string { return r.Detail }

// GetStatus implements huma.StatusError.
func (r *refusal) GetStatus() int { return r.Status }

// ContentType implements huma.ContentTypeFilter.
func (r *refusal) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (r *refusal) GetHeaders() http.Header {
	h := http.Header{}
	if r.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(r.RetryAfter.Seconds())))
	}
	return h
}

func (r *refusal) hint(format string, args ...any) *refusal {
	r.Hint = fmt.Sprintf(format, args...)
	return r
}

const (
	problemType = "application/problem+json"
	// problemBase and the code make a problem's type, a reference that never
	// changes (RFC 9457 section 3.1.1).
	problemBase = "/problems/"
	headerNode  = client.HeaderNode
)

// problem makes a refusal.
func problem(status int, code, format string, args ...any) *refusal {
	return &refusal{client.Problem{
		Type: problemBase + code, Title: http.StatusText(status), Status: status, Code: code,
		Detail: fmt.Sprintf(format, args...),
	}}
}

// notThere is a 404 for an object.
func notThere(format string, args ...any) *refusal {
	return problem(http.StatusNotFound, client.CodeNotFound, "%s is not there", fmt.Sprintf(format, args...))
}

// fail writes a refusal outside of huma's operations.
func (s *server) fail(w http.ResponseWriter, r *refusal) {
	r.Node = s.cfg.Node
	for name, values := range r.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(r.Status)
	if err := json.NewEncoder(w).Encode(&r.Problem); err != nil {
		s.log.Debug("answer not sent", "err", err)
	}
}

// finish is huma's last step before a body is written: its own errors become
// problems of ours, and every problem says which node speaks.
func (s *server) finish(ctx huma.Context, _ string, body any) (any, error) {
	switch b := body.(type) {
	case *refusal:
		b.Node = s.cfg.Node
		return &b.Problem, nil
	case *huma.ErrorModel:
		p := s.foreign(ctx, b)
		p.Node = s.cfg.Node
		return &p.Problem, nil
	}
	return body, nil
}

// foreign translates an error that huma found: mostly a request that does not
// fit its schema.
func (s *server) foreign(ctx huma.Context, e *huma.ErrorModel) *refusal {
	code := client.CodeInvalid
	switch {
	case e.Status == http.StatusRequestEntityTooLarge:
		code = client.CodeTooLarge
	case e.Status >= http.StatusInternalServerError:
		code = client.CodeInternal
		s.log.Error("request failed", "method", ctx.Method(), "path", ctx.Operation().Path, "err", e.Errors)
		return problem(e.Status, code, "%s", e.Detail).hint("the node's log says more")
	}
	p := problem(e.Status, code, "%s", e.Detail)
	for _, d := range e.Errors {
		p.Errors = append(p.Errors, client.FieldError{Location: d.Location, Message: d.Message, Value: shown(d.Value)})
	}
	if len(p.Errors) > 0 {
		first := p.Errors[0]
		p.Detail = strings.TrimPrefix(first.Location+": ", ": ") + first.Message
		p.hint("see /api/v1/openapi.json for what %s %s takes", ctx.Method(), ctx.Operation().Path)
	}
	return p
}

// maxShown bounds a wrong value that is sent back.
const maxShown = 200

// shown prints a wrong value, unless it is a whole object.
func shown(v any) string {
	switch v.(type) {
	case nil, map[string]any, []any:
		return ""
	}
	text := fmt.Sprint(v)
	return text[:min(len(text), maxShown)]
}

// refused turns a refusal of the state machine into a problem.
func refused(r fsm.Result) *refusal {
	status := http.StatusConflict
	switch r.Code {
	case fsm.NotFound, fsm.UnknownCall, fsm.UnknownAccount:
		status = http.StatusNotFound
	case fsm.Invalid, fsm.KeyReused, fsm.BadNumber:
		status = http.StatusUnprocessableEntity
	case fsm.Full:
		status = http.StatusInsufficientStorage
	case fsm.CallEnded:
		status = http.StatusGone
	}
	detail := r.Detail
	if detail == "" {
		detail = strings.ReplaceAll(r.Code.String(), "-", " ")
	}
	p := problem(status, r.Code.String(), "%s", detail)
	p.Index = r.Index
	switch r.Code {
	case fsm.KeyReused:
		p.hint("take a new %s for a new request", client.HeaderKey)
	case fsm.Unsupported:
		p.hint("raise the feature level after all nodes run the new version")
	case fsm.Full:
		p.Detail = "a bound of the state is reached: " + detail
		p.hint("delete what is not needed any more")
	case fsm.Invalid:
		// "field: reason" is how the state machine names what is wrong.
		if field, reason, ok := strings.Cut(detail, ": "); ok && !strings.ContainsAny(field, " \"") {
			p.Errors = []client.FieldError{{Location: "body." + field, Message: reason}}
		}
	}
	return p
}

// unavailable turns an error of the cluster into a problem: what, why, next.
func (s *server) unavailable(err error) *refusal {
	st := s.cfg.Cluster.Status()
	var p *refusal
	switch {
	case errors.Is(err, wire.ErrTooLong):
		return problem(http.StatusUnprocessableEntity, client.CodeInvalid, "%v", err)
	case errors.Is(err, cluster.ErrBusy):
		p = problem(http.StatusServiceUnavailable, client.CodeBusy, "nothing was changed: the cluster has more to do than it can").
			hint("try again in a moment")
	case st.Leader == "" || errors.Is(err, cluster.ErrNoLeader):
		p = problem(http.StatusServiceUnavailable, client.CodeNoLeader, "no leader%s", away(st)).
			hint("reads still work with ?consistency=stale (--stale); writes resume when %d nodes see each other", majority(st))
	case errors.Is(err, cluster.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		p = problem(http.StatusServiceUnavailable, client.CodeTimeout, "not committed in time%s: it may still happen", away(st)).
			hint("ask again with the same %s: the first answer counts", client.HeaderKey)
	case errors.Is(err, cluster.ErrClosed):
		p = problem(http.StatusServiceUnavailable, client.CodeNoLeader, "this node is stopping").hint("ask another node")
	default:
		s.log.Error("request failed", "err", err)
		return problem(http.StatusInternalServerError, client.CodeInternal, "%v", err).hint("the node's log says more")
	}
	p.RetryAfter = retryAfter
	return p
}

// away says which voters this node does not hear.
func away(st cluster.Status) string {
	var silent []string
	voters := 0
	for i := range st.Peers {
		p := &st.Peers[i]
		if !p.Voter {
			continue
		}
		voters++
		if isSilent(&st, p) {
			silent = append(silent, p.ID)
		}
	}
	if len(silent) == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d nodes unreachable: %s)", len(silent), voters, strings.Join(silent, ", "))
}

func majority(st cluster.Status) int {
	voters := 0
	for _, p := range st.Peers {
		if p.Voter {
			voters++
		}
	}
	return voters/2 + 1
}
