package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"tandem/fsm"
	"tandem/node/api/client"
)

// asker is who makes a request.
type asker struct {
	token fsm.Token
	url   url.URL
}

type askerKey struct{}

// asking returns who makes the request. Every operation has passed [server.admit].
func asking(ctx context.Context) asker {
	a, _ := ctx.Value(askerKey{}).(asker)
	return a
}

// readTimeout bounds how long a read waits for a leader's confirmation, and
// retryAfter is what a client waits before it asks again.
const (
	readTimeout = 4 * time.Second
	retryAfter  = 2 * time.Second
)

// admit lets a request through whose token exists, has the role that the
// operation needs, and is within its rate. Unless the asker is content with a
// stale answer it then waits until the local replica has everything that was
// acknowledged before, and looks at the token again: one that was revoked
// anywhere is refused here (ARCHITECTURE.md, rule 13).
func (s *server) admit(ctx huma.Context, next func(huma.Context)) {
	roles, _ := ctx.Operation().Metadata[metaRoles].([]string)
	token, p := s.authenticate(ctx.Header("Authorization"))
	if p == nil {
		p = authorize(token, ctx.Operation(), roles)
	}
	if p == nil && !s.limits.allow(token.ID, time.Now()) {
		p = problem(http.StatusTooManyRequests, client.CodeRateLimited, "token %q makes more than %d requests a second", token.ID, maxRate).
			hint("slow down")
		p.RetryAfter = time.Second
	}
	if p == nil && !isStale(ctx) {
		wait, cancel := context.WithTimeout(ctx.Context(), readTimeout)
		_, err := s.cfg.Cluster.ReadIndex(wait)
		cancel()
		if err != nil {
			p = s.unavailable(err)
		} else if token, p = s.authenticate(ctx.Header("Authorization")); p == nil {
			p = authorize(token, ctx.Operation(), roles)
		}
	}
	if p != nil {
		s.refuse(ctx, p)
		return
	}
	next(huma.WithValue(ctx, askerKey{}, asker{token: token, url: ctx.URL()}))
}

// isStale reports whether the asker is content with what this node knows.
func isStale(ctx huma.Context) bool {
	local := ctx.Operation().Metadata[metaLocal] == true
	return local || ctx.Method() == http.MethodGet && ctx.Query("consistency") == "stale"
}

// refuse writes a problem before huma has looked at the request.
func (s *server) refuse(ctx huma.Context, p *refusal) {
	p.Node = s.cfg.Node
	for name, values := range p.GetHeaders() {
		ctx.SetHeader(name, values[0])
	}
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="tandem"`)
	}
	ctx.SetHeader("Content-Type", problemType)
	ctx.SetStatus(p.Status)
	if err := huma.DefaultJSONFormat.Marshal(ctx.BodyWriter(), &p.Problem); err != nil {
		s.log.Debug("answer not sent", "err", err)
	}
}

// authenticate finds the token of an Authorization header. Its secret is
// compared in constant time, also when there is no such token, so that neither
// ids nor secrets can be guessed by the clock.
func (s *server) authenticate(header string) (fsm.Token, *refusal) {
	scheme, text, _ := strings.Cut(header, " ")
	if header == "" || !strings.EqualFold(scheme, "Bearer") {
		return fsm.Token{}, problem(http.StatusUnauthorized, client.CodeUnauthorized, "no token").
			hint("send Authorization: Bearer tandem_<id>_<secret> (--token or TANDEM_TOKEN)")
	}
	given, err := client.ParseCredential(strings.TrimSpace(text))
	if err != nil {
		return fsm.Token{}, problem(http.StatusUnauthorized, client.CodeUnauthorized, "%v", err).
			hint("check --token or TANDEM_TOKEN")
	}
	var token fsm.Token
	var found bool
	var now fsm.Time
	s.cfg.State.View(func(st *fsm.State) {
		token, found = st.Token(given.ID)
		now = st.At()
	})
	hash := given.Hash()
	same := subtle.ConstantTimeCompare(hash[:], token.Hash[:]) == 1
	switch {
	case !found && s.ready() != nil:
		p := problem(http.StatusServiceUnavailable, client.CodeNoLeader, "this node cannot know the token yet: %v", s.ready()).
			hint("try again in a moment, or ask another node")
		p.RetryAfter = retryAfter
		return fsm.Token{}, p
	case !found || !same:
		return fsm.Token{}, problem(http.StatusUnauthorized, client.CodeUnauthorized, "the token is not known, or its secret is wrong").
			hint("it may have been revoked; an administrator makes another: tandem token create")
	case token.Expires != 0 && token.Expires <= now:
		return fsm.Token{}, problem(http.StatusUnauthorized, client.CodeUnauthorized, "token %q expired at %s", token.ID, timeOf(token.Expires)).
			hint("an administrator makes another: tandem token create")
	}
	return token, nil
}

// authorize refuses a token whose role is not among those of the operation. No
// roles: any may.
func authorize(t fsm.Token, op *huma.Operation, roles []string) *refusal {
	if len(roles) == 0 || t.Role == client.RoleAdmin || slices.Contains(roles, t.Role) {
		return nil
	}
	return problem(http.StatusForbidden, client.CodeForbidden, "token %q has the role %s; %s %s needs %s",
		t.ID, t.Role, op.Method, client.Prefix+op.Path, strings.Join(roles, " or ")).
		hint("an administrator makes one that may: tandem token create NAME --role %s", roles[0])
}

// The rate of requests of one token. A script that applies thousands of objects
// stays below it; one in an endless loop does not hurt calls.
const (
	maxRate  = 500
	maxBurst = 1000
	// maxLimited bounds the tokens whose rate is remembered. Only tokens that
	// exist get here, so it is reached by their number alone; then all are
	// forgotten.
	maxLimited = 10_000
)

// limits are the request rates of tokens on this node.
type limits struct {
	mu sync.Mutex // of
	of map[string]*rate.Limiter
}

func newLimits() *limits { return &limits{of: map[string]*rate.Limiter{}} }

// allow takes one request from a token's share.
func (l *limits) allow(token string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.of[token]
	if one == nil {
		if len(l.of) >= maxLimited {
			clear(l.of)
		}
		one = rate.NewLimiter(maxRate, maxBurst)
		l.of[token] = one
	}
	return one.AllowN(now, 1)
}
