package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tandem/cmd/tandem/objects"
	"tandem/node/api/client"
	"tandem/node/config"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts runs the command lines in testdata/*.txt against an API that
// plays a small part, and compares what is printed. A transcript is a series of
//
//	$ tandem status
//	what it prints, errors too
//	exit 3
//
// where "exit 0" is left out.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs (-update rewrites it), now:\n%s", file, got)
			}
		})
	}
}

// replay runs the commands of a transcript, keeping its comments.
func replay(t *testing.T, transcript string) string {
	api := newFakeAPI()
	srv := httptest.NewServer(api)
	defer srv.Close()
	var out strings.Builder
	for line := range strings.SplitSeq(transcript, "\n") {
		if strings.HasPrefix(line, "# ") {
			out.WriteString(line + "\n")
		}
		command, ok := strings.CutPrefix(line, "$ tandem")
		if !ok {
			continue
		}
		printed, code := run(srv.URL, words(command)...)
		fmt.Fprintf(&out, "%s\n%s", line, strings.ReplaceAll(printed, srv.URL, "http://127.0.0.1:8443"))
		if code != 0 {
			fmt.Fprintf(&out, "exit %d\n", code)
		}
		out.WriteString("\n")
	}
	return out.String()
}

// run executes one command line as the program would, away from a terminal.
func run(addr string, args ...string) (printed string, code int) {
	var out bytes.Buffer
	env := map[string]string{"TANDEM_ADDR": addr, "TANDEM_TOKEN": "tandem_aa_bb", "TANDEM_UTC": "true"}
	a := &app{in: strings.NewReader(""), out: &out, errOut: &out, env: func(name string) string { return env[name] }}
	code = a.run(context.Background(), args)
	return out.String(), code
}

// words splits a command line at spaces, except in single quotes.
func words(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
			continue
		}
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// fakeAPI keeps what is PUT and answers as a node would; what it does not know is
// not there.
type fakeAPI struct {
	index   uint64
	objects map[string]json.RawMessage // by path
	fixed   map[string]string          // answers by method and path
	status  map[string]int
}

func newFakeAPI() *fakeAPI {
	f := &fakeAPI{index: 918_200, objects: map[string]json.RawMessage{}, fixed: map[string]string{}, status: map[string]int{}}
	text, err := os.ReadFile("testdata/api.json")
	if err == nil {
		var answers map[string]json.RawMessage
		if err = json.Unmarshal(text, &answers); err == nil {
			for request, body := range answers {
				f.fixed[request] = string(body)
				var p client.Problem
				if json.Unmarshal(body, &p) == nil && p.Code != "" && p.Status != 0 {
					f.status[request] = p.Status
				}
			}
		}
	}
	if err != nil {
		panic(err)
	}
	return f
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, client.Prefix)
	request := r.Method + " " + path
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	if r.Method != http.MethodGet {
		f.index++
	}
	w.Header().Set(client.HeaderIndex, fmt.Sprint(f.index))
	if answer, ok := f.fixed[request]; ok {
		if code := f.status[request]; code != 0 {
			w.WriteHeader(code)
		}
		io.WriteString(w, strings.ReplaceAll(answer, "INDEX", fmt.Sprint(f.index)))
		return
	}
	switch r.Method {
	case http.MethodPut:
		f.objects[path] = named(path, body)
		w.Write(f.objects[path])
	case http.MethodGet:
		if object, ok := f.objects[path]; ok {
			w.Write(object)
			return
		}
		f.missing(w, path)
	case http.MethodDelete:
		if _, ok := f.objects[path]; !ok {
			f.missing(w, path)
			return
		}
		delete(f.objects, path)
		fmt.Fprintf(w, `{"index": %d, "at": "2026-11-21T10:42:07.000Z"}`, f.index)
	default:
		f.missing(w, path)
	}
}

func (f *fakeAPI) missing(w http.ResponseWriter, path string) {
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, `{"code": %q, "detail": "%s is not there"}`, client.CodeNotFound, strings.TrimPrefix(path, "/"))
}

// named adds the id of the path to an object.
func named(path string, body []byte) json.RawMessage {
	id := path[strings.LastIndex(path, "/")+1:]
	return append([]byte(fmt.Sprintf(`{"id": %q, `, id)), body[1:]...)
}

// The example's files are good.
func TestExample(t *testing.T) {
	dir := filepath.Join("..", "..", "deploy", "examples", "three-nodes")
	for i := 1; i <= 3; i++ {
		c, err := config.Load(filepath.Join(dir, fmt.Sprintf("n%d.toml", i)))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("127.0.0.1%d", i); c.Cluster.Bind != want || c.Address[0].IP != want || len(c.Cluster.Join) != 2 {
			t.Errorf("n%d: %+v", i, c)
		}
	}
	doc, err := objects.Load(filepath.Join(dir, "objects.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(doc.Accounts) != 2 || len(doc.RateTables) != 2 || len(doc.RateTables[0].Rates) == 0 {
		t.Errorf("objects %+v", doc)
	}
}
