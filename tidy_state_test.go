package tandem_test

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// checkState is rule 29: no package-level mutable state, no init. A variable at
// package level is a table or a sentinel: it has its value from its declaration
// and nothing in the package writes it or hands out its address.
func (h *house) checkState(p *pkg) {
	written := writes(p)
	for _, f := range p.product() {
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					h.report(f, d.Pos(), 29, "func init: let the caller construct what it needs")
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR && !embeds(d.Doc) {
					for _, s := range d.Specs {
						h.checkVar(p, f, s.(*ast.ValueSpec), written)
					}
				}
			}
		}
	}
}

func (h *house) checkVar(p *pkg, f *file, spec *ast.ValueSpec, written map[types.Object]token.Pos) {
	if embeds(spec.Doc) {
		return
	}
	for i, name := range spec.Names {
		if name.Name == "_" {
			continue // an assertion about types
		}
		if len(spec.Values) == 0 {
			h.report(f, name.Pos(), 29, "var %s has no value, so it is there to be written: make it a field", name.Name)
			continue
		}
		if pos, ok := written[p.info.Defs[name]]; ok {
			h.report(f, name.Pos(), 29, "var %s is written or addressed at line %d: make it a field", name.Name, h.fset.Position(pos).Line)
			continue
		}
		if i < len(spec.Values) && mutable(p, spec.Type, spec.Values[i]) {
			h.report(f, name.Pos(), 29, "var %s holds state: make it a field", name.Name)
		}
	}
}

// embeds reports whether doc has a go:embed directive, which fills a variable
// once, before the program starts.
func embeds(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// mutable reports whether a value can only be meant to change: an empty map, a
// channel, a pointer to something new, a lock, an atomic, a registered metric.
func mutable(p *pkg, typ, value ast.Expr) bool {
	found := false
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false // what it makes is made at each call
		case *ast.ChanType:
			found = true
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "make" || id.Name == "new") {
				found = true
			}
		case *ast.UnaryExpr:
			found = found || n.Op == token.AND
		case *ast.Ident:
			if name, ok := p.info.Uses[n].(*types.PkgName); ok {
				path := name.Imported().Path()
				found = found || within(path, "sync") || within(path, "expvar") || strings.Contains(path, "prometheus")
			}
		}
		return !found
	}
	for _, n := range []ast.Expr{typ, value} {
		if n != nil {
			ast.Inspect(n, look)
		}
	}
	return found
}

// writes finds where the package assigns to, addresses or empties its own
// package-level variables, whole or in part.
func writes(p *pkg) map[types.Object]token.Pos {
	written := map[types.Object]token.Pos{}
	note := func(e ast.Expr) {
		if id := owner(e); id != nil {
			if v, ok := p.info.Uses[id].(*types.Var); ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
				written[v] = e.Pos()
			}
		}
	}
	for _, f := range p.product() {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					note(e)
				}
			case *ast.IncDecStmt:
				note(n.X)
			case *ast.RangeStmt:
				note(n.Key)
				note(n.Value)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
					note(n.Args[0])
				}
			}
			return true
		})
	}
	return written
}

// owner returns the variable that e is, or is a part of.
func owner(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
