package tandem_test

import (
	"go/ast"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// folders are the top-level folders; there are no others. What git ignores
// (bin, data) and this test's own testdata are no part of the layout.
var folders = []string{
	"cmd", "billing", "fsm", "sip", "media", "cluster", "node", "chaos", "deploy",
	".ci", ".git", "testdata", "bin", "data",
}

// imports says which packages of this module a package may import beside those
// below itself; the row with the longest matching path binds. ARCHITECTURE.md
// gives a reason for each row.
var imports = map[string][]string{
	"billing":      {},
	"fsm":          {"billing", "chaos/plant"},
	"fsm/wire":     {},
	"fsm/number":   {"billing", "fsm/wire"},
	"fsm/route":    {"billing", "fsm/wire", "fsm/number"},
	"fsm/fraud":    {"billing", "fsm/wire"},
	"media":        {},
	"sip":          {},
	"cluster":      {"fsm", "fsm/wire", "chaos/plant"},
	"node":         {"fsm", "fsm/wire", "fsm/number", "billing", "sip", "media", "cluster", "chaos", "chaos/plant"},
	"chaos":        {"fsm", "billing"},
	"chaos/plant":  {},
	"chaos/sim":    {"chaos", "node", "cluster", "sip"},
	"chaos/live":   {"chaos"},
	"deploy/chaos": {},
	"cmd":          {"node", "chaos", "chaos/live", "deploy/chaos", "fsm", "billing"},
}

// homes says where a library may be imported; the longest matching path binds.
var homes = map[string][]string{
	"":                                {"node", "cmd"},
	"github.com/pion":                 {"media"},
	"github.com/emiago/sipgo":         {"sip"},
	"github.com/icholy/digest":        {"sip"},
	"github.com/hashicorp/raft":       {"cluster", "chaos/sim"}, // chaos/sim: the disk is raft's stores
	"github.com/hashicorp/go-hclog":   {"cluster"},              // raft's logger is one
	"github.com/hashicorp/memberlist": {"cluster"},
	"go.etcd.io/bbolt":                {"cluster", "node"},
	"golang.org/x/sys":                {"cluster", "media", "sip", "node", "cmd"}, // the kernel's calls
	"golang.org/x/net":                {"media", "sip", "node"},                   // batched datagrams
}

// testLibraries are for tests alone.
var testLibraries = []string{
	"github.com/google/go-cmp", "pgregory.net/rapid", "go.uber.org/goleak",
	"github.com/shopspring/decimal", "github.com/anishathalye/porcupine",
}

// impure is what rule 8 keeps out of the pure packages, sub-packages included.
var impure = []string{
	"os", "io/fs", "net", "context", "sync", "log", "math/rand", "crypto/rand", "runtime", "unsafe",
}

// clock is what rule 8 refuses of package time.
var clock = []string{
	"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation",
}

// checkFolders is the first half of rule 2: the layout.
func (h *house) checkFolders() {
	entries, err := os.ReadDir(h.root)
	if err != nil {
		h.findings = append(h.findings, finding{h.root, 0, 2, err.Error()})
		return
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(folders, e.Name()) {
			h.findings = append(h.findings, finding{e.Name(), 0, 2, "no such top-level folder: the layout is fixed"})
		}
	}
}

// checkReasons is the last part of rule 2: ARCHITECTURE.md has a line for each
// row of the import table, and names the sub-packages that have one.
func (h *house) checkReasons() {
	const name = "ARCHITECTURE.md"
	text, err := os.ReadFile(filepath.Join(h.root, name))
	if err != nil {
		h.findings = append(h.findings, finding{name, 0, 2, err.Error()})
		return
	}
	rows := map[string]bool{}
	for path := range h.packages {
		if row, ok := longest(imports, inner(path)); ok {
			rows[row] = true
		}
	}
	for row := range rows {
		want := "| `" + row + "` |"
		if row != "fsm" && within(row, "fsm") {
			want = "`" + row + "`"
		}
		if !strings.Contains(string(text), want) {
			h.findings = append(h.findings, finding{name, 0, 2, "no line for " + row + ": say what it may import and why"})
		}
	}
}

// checkImports is rule 2: leaves first, libraries at home.
func (h *house) checkImports(p *pkg) {
	from := inner(p.ImportPath)
	row, ok := longest(imports, from)
	for _, f := range p.files {
		if f.extern {
			continue // external test packages import what they like
		}
		if !ok {
			h.report(f, f.syntax.Package, 2, "package %s has no row in the import table", from)
			continue
		}
		for _, spec := range f.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the parser has seen to it
			}
			if why := refuse(from, row, path, f.test); why != "" {
				h.report(f, spec.Pos(), 2, "%s imports %s: %s", from, path, why)
			}
		}
	}
}

// refuse says why package from, bound by row, may not import path, or "".
func refuse(from, row, path string, test bool) string {
	switch {
	case path == "testing" || strings.HasPrefix(path, "testing/"):
		if !test {
			return "package testing is for _test files"
		}
	case within(path, module):
		return refuseOwn(from, row, inner(path), test)
	case standard(path):
	case slices.ContainsFunc(testLibraries, func(l string) bool { return within(path, l) }):
		if !test {
			return "a library for tests"
		}
	default:
		home, _ := longest(homes, path)
		if !slices.Contains(homes[home], row) {
			return "the library's home is " + strings.Join(homes[home], ", ")
		}
	}
	return ""
}

// refuseOwn is refuse for a package of this module.
func refuseOwn(from, row, to string, test bool) string {
	target, _ := longest(imports, to)
	switch {
	case target == "chaos/sim" && !test && row != target:
		return "the simulator is for _test packages only"
	case from != "fsm" && within(from, "fsm") && to == "fsm":
		return "fsm imports its sub-packages, never the reverse"
	case target == row, slices.Contains(imports[row], target), row == "fsm" && within(target, "fsm"):
		return ""
	case len(imports[row]) == 0:
		return row + " imports nothing of this module"
	}
	return row + " may import " + strings.Join(imports[row], ", ")
}

// reach returns the import paths of the packages of this module that the given
// folders reach through their imports, themselves included.
func (h *house) reach(roots ...string) map[string]bool {
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		p := h.packages[path]
		if p == nil || seen[path] {
			return
		}
		seen[path] = true
		for _, i := range p.Imports {
			walk(i)
		}
	}
	for path := range h.packages {
		if slices.ContainsFunc(roots, func(r string) bool { return within(inner(path), r) }) {
			walk(path)
		}
	}
	return seen
}

// checkPurity is rule 8: no clock, no randomness, no I/O below the state machine.
// Files of the build tag plants are no part of the product.
func (h *house) checkPurity(p *pkg) {
	for _, f := range p.product() {
		if planted(f) {
			continue
		}
		for _, spec := range f.syntax.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			switch {
			case slices.ContainsFunc(impure, func(i string) bool { return within(path, i) }):
				h.report(f, spec.Pos(), 8, "%s is pure and may not import %s", inner(p.ImportPath), path)
			case !standard(path) && !within(path, module):
				h.report(f, spec.Pos(), 8, "%s is pure and imports only std and this module, not %s", inner(p.ImportPath), path)
			case path == "time" && spec.Name != nil && spec.Name.Name == ".":
				h.report(f, spec.Pos(), 8, "import time by its name")
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(clock, sel.Sel.Name) {
				return true
			}
			if id, ok := sel.X.(*ast.Ident); ok {
				if name, ok := p.info.Uses[id].(*types.PkgName); ok && name.Imported().Path() == "time" {
					h.report(f, sel.Pos(), 8, "time.%s in a pure package: take the time as an argument", sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// planted reports whether a file is built with the tag plants alone.
func planted(f *file) bool {
	return slices.ContainsFunc(f.syntax.Comments, func(g *ast.CommentGroup) bool {
		return g.Pos() < f.syntax.Package && g.List[0].Text == "//go:build plants"
	})
}

// within reports whether path is dir or lies below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// standard reports whether path is of Go's own library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// longest returns the longest key of table that path lies within.
func longest(table map[string][]string, path string) (key string, ok bool) {
	for k := range table {
		if (k == "" || within(path, k)) && (!ok || len(k) > len(key)) {
			key, ok = k, true
		}
	}
	return key, ok
}
