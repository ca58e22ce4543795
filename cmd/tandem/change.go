package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"tandem/cmd/tandem/render"
	"tandem/cmd/tandem/settings"
	"tandem/node/api/client"
)

// change is what a mutating command did: what changed, at which index, and how
// to undo it.
type change struct {
	What    string            `json:"what"` // account "acme" created
	Index   uint64            `json:"index"`
	Changes []settings.Change `json:"changes,omitempty"`
	Undo    string            `json:"undo,omitempty"`
	Object  any               `json:"object,omitempty"` // the API's answer
}

// changed prints a change.
func (a *app) changed(c change) error {
	p := a.printer()
	switch {
	case a.flags.quiet:
		return nil
	case p.Format != render.Table:
		return render.Object(p, c, []render.Column[change]{
			{Head: "WHAT", Value: func(c change) any { return c.What }},
			{Head: "INDEX", Value: func(c change) any { return c.Index }},
			{Head: "UNDO", Value: func(c change) any { return c.Undo }},
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s at index %s\n", c.What, render.Group(fmt.Sprint(c.Index)))
	b.WriteString(changeLines(c.Changes))
	if c.Undo != "" {
		fmt.Fprintf(&b, "  undo: %s\n", c.Undo)
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

// unchanged says that nothing had to be done.
func (a *app) unchanged(format string, args ...any) error {
	return a.say("%s: nothing to change\n", fmt.Sprintf(format, args...))
}

// say prints a line for people, which --quiet and the formats for programs leave
// out.
func (a *app) say(format string, args ...any) error {
	if a.flags.quiet || a.flags.format != render.Table {
		return nil
	}
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}

// changeLines prints what fields were and are, a line each.
func changeLines(changes []settings.Change) string {
	var b strings.Builder
	width := 0
	for _, c := range changes {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	for _, c := range changes {
		fmt.Fprintf(&b, "  %-*s  %s -> %s\n", width, c.Name, shown(c.Old), shown(c.New))
	}
	return b.String()
}

func shown(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// count is a number of things: "1 node", "12 904 nodes".
func count[N int | uint64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return render.Group(fmt.Sprint(n)) + " " + thing
}

// edited describes a PUT: a creation, or the fields that changed.
func edited(kind, id, command, flags string, before, after any, created bool, r client.Receipt, object any) change {
	c := change{What: fmt.Sprintf("%s %q changed", kind, id), Index: r.Index, Object: object}
	if created {
		c.What, c.Undo = fmt.Sprintf("%s %q created", kind, id), fmt.Sprintf("%s rm %s%s --yes", command, settings.Quote(id), flags)
		return c
	}
	c.Changes = settings.Diff(before, after)
	if len(c.Changes) > 0 {
		c.Undo = fmt.Sprintf("%s set %s%s %s", command, settings.Quote(id), flags, settings.Undo(c.Changes))
	}
	return c
}

// recreate is the command that makes an object again that was removed.
func recreate(command, id string, old, empty any) string {
	return fmt.Sprintf("tandem %s create %s %s", command, settings.Quote(id), settings.Undo(settings.Diff(old, empty)))
}

// collect reads all items of a list, at most limit; 0: all.
func collect[T any](limit int, each func(func(T, error) bool)) ([]T, error) {
	var out []T
	for item, err := range each {
		if err != nil {
			return nil, err
		}
		out = append(out, item)
		if len(out) == limit {
			break
		}
	}
	return out, nil
}

// listing prints a list of at most limit items; 0: all. People are told when it
// may go on.
func listing[T any](a *app, items []T, limit int, columns []render.Column[T]) error {
	err := render.List(a.printer(), items, columns)
	if err == nil && limit > 0 && len(items) == limit && a.flags.format == render.Table {
		_, err = fmt.Fprintf(a.errOut, "these are the first %s; all of them: --limit 0\n", render.Group(fmt.Sprint(limit)))
	}
	return err
}

// maxPage is the most items that the API gives at once.
const maxPage = 1000

// page asks for as many items at once as will be printed.
func page(limit int) client.Page {
	if limit <= 0 || limit > maxPage {
		return client.Page{Limit: maxPage}
	}
	return client.Page{Limit: limit}
}

// col is a column of a table.
func col[T any](head string, value func(T) any) render.Column[T] {
	return render.Column[T]{Head: head, Value: value}
}
