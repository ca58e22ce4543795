package tandem_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The limits of rules 3 and 4.
const (
	maxFileLines = 500
	maxFuncLines = 70 // a function stays under it
)

// module is the path that all packages of this module begin with.
const module = "tandem"

// TestTidy holds the whole module to the rules of the house. A finding is
// mended in the code; the rules are never loosened to let a change in.
func TestTidy(t *testing.T) {
	for _, f := range inspect(t, ".") {
		t.Error(f)
	}
}

// TestTidyFinds is the positive control: testdata/tidy is a small module that
// breaks each rule, and every breach must be reported as written down there.
func TestTidyFinds(t *testing.T) {
	root := filepath.Join("testdata", "tidy")
	want, err := os.ReadFile(filepath.Join(root, "findings.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, f := range inspect(t, root) {
		fmt.Fprintln(&got, f)
	}
	if got.String() != string(want) {
		t.Errorf("findings in %s\n--- got\n%s--- want\n%s", root, got.String(), want)
	}
}

// finding is one breach of a rule: where, which, and what to do.
type finding struct {
	file string // relative to the root of the module
	line int
	rule int
	text string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: rule %d: %s", f.file, f.line, f.rule, f.text)
}

// house is a parsed module and what was found in it.
type house struct {
	root     string
	fset     *token.FileSet
	packages map[string]*pkg // by import path
	findings []finding
}

// pkg is what `go list` says of a package, and its syntax.
type pkg struct {
	ImportPath, Dir, Name                              string
	GoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
	Imports                                            []string
	Module                                             struct{ Dir string }

	files []*file
	info  *types.Info // uses and definitions in the non-test files
}

// file is one source file.
type file struct {
	name   string // relative to the root of the module
	syntax *ast.File
	lines  int
	test   bool // _test.go
	extern bool // of an external _test package
}

// inspect loads the module at root and returns its findings in order.
func inspect(t *testing.T, root string) []finding {
	t.Helper()
	h, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	h.checkFolders()
	h.checkReasons()
	pure := h.reach("billing", "fsm")
	for path, p := range h.packages {
		h.checkComment(p)
		h.checkImports(p)
		h.checkState(p)
		if pure[path] {
			h.checkPurity(p)
		}
		for _, f := range p.files {
			h.checkFile(f)
			h.checkFuncs(f)
		}
	}
	slices.SortFunc(h.findings, func(a, b finding) int {
		return strings.Compare(fmt.Sprintf("%s:%06d:%02d", a.file, a.line, a.rule)+a.text,
			fmt.Sprintf("%s:%06d:%02d", b.file, b.line, b.rule)+b.text)
	})
	return h.findings
}

// load lists and parses the module at root. It needs no network and no module
// but this one: what an import path names is of no interest here.
func load(root string) (*house, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Name,GoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles,Imports,Module", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, stderr.Bytes())
	}
	h := &house{root: root, fset: token.NewFileSet(), packages: map[string]*pkg{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return h, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if err := h.parse(p); err != nil {
			return nil, err
		}
		h.packages[p.ImportPath] = p
	}
}

// parse reads the files of p and resolves its names.
func (h *house) parse(p *pkg) error {
	var product []*ast.File
	names := slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles)
	for _, name := range names {
		full := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(full)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(h.fset, full, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(p.Module.Dir, full)
		if err != nil {
			return err
		}
		f := &file{name: filepath.ToSlash(rel), syntax: syntax, lines: bytes.Count(src, []byte("\n"))}
		f.test = strings.HasSuffix(name, "_test.go")
		f.extern = f.test && strings.HasSuffix(syntax.Name.Name, "_test")
		if slices.Contains(p.GoFiles, name) {
			product = append(product, syntax)
		}
		p.files = append(p.files, f)
	}
	p.info = &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{
		Importer:         blind{},
		Error:            func(error) {}, // other packages are unknown here
		IgnoreFuncBodies: false,
	}
	_, _ = conf.Check(p.ImportPath, h.fset, product, p.info)
	return nil
}

// blind is an importer that knows nothing: only names of the package itself
// and of its imports are resolved, which is all that the rules ask for.
type blind struct{}

func (blind) Import(string) (*types.Package, error) { return nil, errors.New("not loaded") }

// report adds a finding at pos.
func (h *house) report(f *file, pos token.Pos, rule int, format string, args ...any) {
	h.findings = append(h.findings, finding{f.name, h.fset.Position(pos).Line, rule, fmt.Sprintf(format, args...)})
}

// inner returns the path of p inside the module: "fsm/wire" for tandem/fsm/wire.
func inner(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

// product yields the files of p that are not tests.
func (p *pkg) product() []*file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool { return f.test })
}

var (
	sentence = regexp.MustCompile(`[.:](\s|$)`)
	negation = regexp.MustCompile(`(?i)\b(never|not|no|nothing|none|nor|without)\b`)
	fileName = regexp.MustCompile(`^[a-z0-9]+(_[a-z0-9]+)*\.go$`)
	numbered = regexp.MustCompile(`^(.*[A-Za-z])([1-9])$`)
)

// checkComment is rule 1: one package comment, in the file of the package's
// name (or doc.go): what it owns, what it never does, how to use it.
func (h *house) checkComment(p *pkg) {
	var documented []*file
	for _, f := range p.product() {
		if f.syntax.Doc != nil {
			documented = append(documented, f)
		}
	}
	base := filepath.Base(p.Dir)
	begin := "Package " + p.Name + " "
	homes := []string{base + ".go", "doc.go"}
	if p.Name == "main" {
		begin, homes = "Command "+base+" ", append(homes, "main.go")
	}
	if len(documented) == 0 {
		if files := p.product(); len(files) > 0 {
			h.report(files[0], files[0].syntax.Package, 1, "package %s has no package comment: write one in %s", p.Name, homes[0])
		}
		return
	}
	for _, f := range documented[1:] {
		h.report(f, f.syntax.Package, 1, "second package comment: the first is in %s", documented[0].name)
	}
	f := documented[0]
	text := f.syntax.Doc.Text()
	switch {
	case !slices.Contains(homes, filepath.Base(f.name)):
		h.report(f, f.syntax.Package, 1, "package comment in the wrong file: move it to %s", homes[0])
	case !strings.HasPrefix(text, begin):
		h.report(f, f.syntax.Package, 1, "package comment begins with %q", strings.TrimSpace(begin))
	case len(sentence.FindAllString(text, 3)) < 3 || !negation.MatchString(text):
		h.report(f, f.syntax.Package, 1, "package comment too thin: say what it owns, what it never does and how to use it")
	}
}

// checkFile is rule 3: short files with plain names.
func (h *house) checkFile(f *file) {
	if ast.IsGenerated(f.syntax) {
		return
	}
	if f.lines > maxFileLines {
		h.report(f, f.syntax.Package, 3, "%d lines: split the file by concern, %d is the limit", f.lines, maxFileLines)
	}
	if base := filepath.Base(f.name); !fileName.MatchString(base) {
		h.report(f, f.syntax.Package, 3, "file name %s: lower case, noun first, words joined by _", base)
	}
}

// checkFuncs is rule 4: functions under 70 lines, composite literals aside, and
// not cut into foo1 and foo2.
func (h *house) checkFuncs(f *file) {
	if f.test || ast.IsGenerated(f.syntax) {
		return
	}
	declared := map[string]*ast.FuncDecl{}
	for _, d := range f.syntax.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			declared[receiver(fn)+fn.Name.Name] = fn
			h.measure(f, fn, fn.Name.Name)
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncLit); ok {
			h.measure(f, fn, "func literal")
		}
		return true
	})
	for name, fn := range declared {
		if m := numbered.FindStringSubmatch(name); m != nil && m[2] == "2" && declared[m[1]+"1"] != nil {
			h.report(f, fn.Pos(), 4, "%s is a cut through the middle: name the parts by what they do", fn.Name.Name)
		}
	}
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	return types.ExprString(fn.Recv.List[0].Type) + "."
}

// measure reports fn when it is too long. Lines of composite literals do not
// count; a function inside one is measured by itself.
func (h *house) measure(f *file, fn ast.Node, name string) {
	lines := h.span(fn)
	ast.Inspect(fn, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if ok {
			lines -= h.span(lit) - 1
		}
		return !ok
	})
	if lines >= maxFuncLines {
		h.report(f, fn.Pos(), 4, "%s has %d lines: split it by what its parts do, it stays under %d", name, lines, maxFuncLines)
	}
}

func (h *house) span(n ast.Node) int {
	return h.fset.Position(n.End()).Line - h.fset.Position(n.Pos()).Line + 1
}
