package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"tandem/fsm"
	"tandem/node/api/client"
)

// badField is a problem with one field of a request.
func badField(location, value, format string, args ...any) *refusal {
	var f fields
	f.bad(location, value, format, args...)
	return f.problem()
}

// fields collects what is wrong with the fields of a request.
type fields struct{ errs []client.FieldError }

func (f *fields) bad(location, value, format string, args ...any) {
	f.errs = append(f.errs, client.FieldError{Location: location, Message: fmt.Sprintf(format, args...), Value: value})
}

// problem returns what is wrong in all, or nil.
func (f *fields) problem() *refusal {
	if len(f.errs) == 0 {
		return nil
	}
	first := f.errs[0]
	p := problem(http.StatusUnprocessableEntity, client.CodeInvalid, "%s: %s", first.Location, first.Message)
	if first.Value != "" {
		p.Detail = fmt.Sprintf("%s %q: %s", first.Location, first.Value, first.Message)
	}
	p.Errors = f.errs
	return p
}

// err is problem as an error that is nil when nothing is wrong.
func (f *fields) err() error {
	if p := f.problem(); p != nil {
		return p
	}
	return nil
}

// network reads networks, address one address, choice one of several names.
func (f *fields) networks(location string, texts []string) []fsm.Prefix {
	var out []fsm.Prefix
	for i, t := range texts {
		p, err := fsm.ParsePrefix(t)
		if err != nil {
			f.bad(location+"["+strconv.Itoa(i)+"]", t, "%v", err)
		}
		out = append(out, p)
	}
	return out
}

func (f *fields) address(location, text string) fsm.Addr {
	a, err := fsm.ParseAddr(text)
	if err != nil {
		f.bad(location, text, "%v", err)
	}
	return a
}

// choose returns the place of a name among those that are possible; the empty
// name is the first.
func choose(name string, names []string) int {
	return max(slices.Index(names, name), 0)
}

// nameOf returns the name of a value, or its number.
func nameOf(names []string, i int) string {
	if i >= 0 && i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// timeOf converts log time; 0 stays zero.
func timeOf(t fsm.Time) client.Time {
	if t == 0 {
		return client.Time{}
	}
	return client.Time{Time: t.Std()}
}

// logTime converts to log time; the zero Time stays 0.
func logTime(t client.Time) fsm.Time {
	if t.IsZero() {
		return 0
	}
	return fsm.Time(t.UnixMicro())
}
