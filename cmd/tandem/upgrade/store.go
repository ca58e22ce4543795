package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrPaused means that a run was asked to pause: the node that it was at is left
// as it is, and the next run goes on there.
var ErrPaused = errors.New("the upgrade is paused")

// State is a run, as its file has it.
type State struct {
	Cluster string    `json:"cluster"`
	Want    string    `json:"want,omitempty"` // version
	Begun   time.Time `json:"begun"`
	Updated time.Time `json:"updated"`
	Node    string    `json:"node,omitempty"` // that is being rolled
	Step    string    `json:"step,omitempty"`
	Done    []string  `json:"done"`
	Stopped string    `json:"stopped,omitempty"` // why it does not go on
	Pause   bool      `json:"pause,omitempty"`
	Ended   bool      `json:"ended,omitempty"`
}

func (s *State) done(node string) bool { return slices.Contains(s.Done, node) }

// Store keeps a run in a file. It is read again before each step, so that another
// process may ask for a pause.
type Store struct {
	path string
	now  func() time.Time
}

// NewStore keeps runs at path.
func NewStore(path string) *Store { return &Store{path: path, now: time.Now} }

// Read returns the run; false: there is none.
func (s *Store) Read() (State, bool, error) {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	var st State
	if err := json.Unmarshal(b, &st); err != nil {
		return State{}, false, fmt.Errorf("%s: %w", s.path, err)
	}
	return st, true, nil
}

// write replaces the file in one step.
func (s *Store) write(st State) error {
	st.Updated = s.now().UTC()
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	fresh := s.path + ".new"
	if err := os.WriteFile(fresh, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, s.path)
}

// Begin returns the run to go on with, or a new one.
func (s *Store) Begin(cluster, want string) (State, error) {
	st, ok, err := s.Read()
	if err != nil {
		return st, err
	}
	if ok && !st.Ended && (st.Cluster != cluster || st.Want != want) {
		return st, fmt.Errorf("%s is of an upgrade of cluster %s to version %q that has not ended: remove the file to begin another one",
			s.path, st.Cluster, st.Want)
	}
	if !ok || st.Ended {
		st = State{Cluster: cluster, Want: want, Begun: s.now().UTC(), Done: []string{}}
	}
	st.Stopped = ""
	return st, s.write(st)
}

// change reads, changes and writes the run.
func (s *Store) change(do func(*State)) error {
	st, ok, err := s.Read()
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s has gone: was the upgrade called off?", s.path)
	}
	do(&st)
	return s.write(st)
}

// Step notes what is done next, or returns ErrPaused. A pause is taken back by the
// next run.
func (s *Store) Step(node, step string) error {
	paused := false
	err := s.change(func(st *State) {
		paused, st.Pause = st.Pause, false
		st.Node, st.Step = node, step
		if paused {
			st.Stopped = ErrPaused.Error()
		}
	})
	if err == nil && paused {
		err = ErrPaused
	}
	return err
}

// Done notes that a node is finished.
func (s *Store) Done(node string) error {
	return s.change(func(st *State) { st.Done, st.Node, st.Step = append(st.Done, node), "", "" })
}

// Stopped notes why the run does not go on.
func (s *Store) Stopped(why string) error {
	return s.change(func(st *State) { st.Stopped = why })
}

// Finish notes that all nodes are done.
func (s *Store) Finish() error {
	return s.change(func(st *State) { st.Ended, st.Node, st.Step = true, "", "" })
}

// Pause asks a run to stop before its next step.
func (s *Store) Pause() error { return s.change(func(st *State) { st.Pause = true }) }
