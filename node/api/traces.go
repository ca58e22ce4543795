package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/node/trace"
)

func (s *server) addTraces(api huma.API) {
	op := tagged("calls", operation(api, http.MethodGet, "/traces/{id}", "trace-call",
		"Show the SIP messages of a call, both legs", client.RoleOperator, client.RoleBilling, client.RoleRouting))
	op.Description = "The newest messages are kept in memory on each node; those of nodes that do not answer, or that were restarted, are missing."
	content := map[string]*huma.MediaType{}
	for _, f := range traceForms() {
		content[f.kind] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: f.format}}
	}
	op.Responses["200"] = &huma.Response{Description: "The messages in the form that was asked for", Content: content}
	huma.Register(api, op, s.trace)
}

type getTrace struct {
	ID   string `path:"id" pattern:"^([0-9a-f]{32}|[0-9]{1,19})$" patternDescription:"a call's id or a cdr's number"`
	Form string `query:"form" enum:"ladder,text,pcap" default:"ladder"`
	Reading
}

// traceForm is a way to show messages.
type traceForm struct {
	name, kind, format string
	write              func(io.Writer, []trace.Message) error
}

func traceForms() []traceForm {
	return []traceForm{
		{"ladder", "text/plain", "", trace.Ladder},
		{"text", "text/plain", "", trace.Text},
		{"pcap", "application/vnd.tcpdump.pcap", "binary", trace.PCAP},
	}
}

type traceAnswer struct {
	Type    string `header:"Content-Type"`
	Partial bool   `header:"X-Tandem-Partial"`
	Body    []byte
}

// trace collects the messages of a call, live or ended.
func (s *server) trace(ctx context.Context, in *getTrace) (*traceAnswer, error) {
	id, callIDs, err := s.legs(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var messages []trace.Message
	if s.cfg.Traces != nil {
		if messages, err = s.cfg.Traces.Trace(ctx, id, callIDs); err != nil {
			s.cfg.Logger.Warn("trace is not complete", "call", in.ID, "err", err)
		}
	}
	if len(messages) == 0 {
		return nil, notThere("messages of call %s", in.ID).hint("they are kept for some minutes, in memory: trace a call while it is live or just after")
	}
	out := &traceAnswer{Partial: err != nil}
	var body bytes.Buffer
	for _, f := range traceForms() {
		if f.name == in.Form {
			out.Type = f.kind
			if err := f.write(&body, messages); err != nil {
				return nil, err
			}
		}
	}
	out.Body = body.Bytes()
	return out, nil
}

// legs finds what the messages of a call are known by: its id, from which the names
// of the legs towards gateways follow, and the caller's Call-ID in its record or CDR.
func (s *server) legs(ctx context.Context, text string) (id fsm.CallID, callIDs []string, err error) {
	if len(text) < hex.EncodedLen(len(id)) {
		seq, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return id, nil, badField("path.id", text, "is neither a call's id nor a cdr's number")
		}
		return s.legsEnded(ctx, seq)
	}
	_, _ = hex.Decode(id[:], []byte(text)) // the schema has checked it
	var live fsm.Call
	var isLive bool
	var seq uint64
	s.cfg.State.View(func(st *fsm.State) {
		if live, isLive = st.Call(id); !isLive {
			seq, _ = st.Ended(id)
		}
	})
	if seq != 0 {
		return s.legsEnded(ctx, seq)
	}
	return id, []string{live.SIPCallID}, nil
}

func (s *server) legsEnded(ctx context.Context, seq uint64) (id fsm.CallID, callIDs []string, err error) {
	r, ok, err := s.cfg.CDRs.Get(ctx, seq)
	if err != nil {
		return id, nil, s.unavailable(err)
	}
	if !ok {
		return id, nil, notThere("cdr %d", seq).hint("tandem cdr search")
	}
	return r.Call, []string{r.SIPCallIDA}, nil
}
