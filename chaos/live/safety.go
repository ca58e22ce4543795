package live

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// Safety writes down what is broken before it is broken, so that somebody else can
// mend it: a guardian process that notices the tool's death, or an operator with
// "tandem chaos heal". A nil Safety writes nothing.
type Safety struct {
	path string

	mu   sync.Mutex // guards note and the file
	note note
}

// note is the file's content.
type note struct {
	Tool     int       `json:"tool"`     // process id of the tool
	Deadline time.Time `json:"deadline"` // everything is mended then at the latest
	Paused   []int     `json:"paused"`   // process ids that may be stopped
	Filtered bool      `json:"filtered"` // the packet filter's table may be there
}

// NewSafety begins a file at path for a run of this process.
func NewSafety(path string, deadline time.Time) (*Safety, error) {
	s := &Safety{path: path, note: note{Tool: os.Getpid(), Deadline: deadline}}
	return s, s.write(func(*note) {})
}

func (s *Safety) paused(pid int) error {
	return s.write(func(n *note) {
		if !slices.Contains(n.Paused, pid) {
			n.Paused = append(n.Paused, pid)
		}
	})
}

func (s *Safety) filtered() error { return s.write(func(n *note) { n.Filtered = true }) }

// write changes the file at once and as a whole.
func (s *Safety) write(change func(*note)) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.note)
	b, err := json.Marshal(s.note)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

// Done ends the run: everything is mended and nobody has to care any more.
func (s *Safety) Done() error {
	if s == nil {
		return nil
	}
	return os.Remove(s.path)
}

// Tool returns the process id of the tool that a file belongs to.
func Tool(path string) (int, error) {
	n, err := read(path)
	return n.Tool, err
}

func read(path string) (n note, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return n, err
	}
	if err := json.Unmarshal(b, &n); err != nil {
		return n, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// Mend undoes what the file at path says may be broken, and removes it. A file that
// is gone belongs to a run that has ended well.
func Mend(path string) error {
	n, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, pid := range n.Paused {
		err = errors.Join(err, resume(pid))
	}
	if n.Filtered {
		err = errors.Join(err, unfilter())
	}
	return errors.Join(err, os.Remove(path))
}

// Guard waits until the tool closes its end of alive, which its death does too, or
// until the deadline of the file, and mends what is broken then.
func Guard(path string, alive io.Reader) error {
	n, err := read(path)
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, alive)
		close(gone)
	}()
	timer := time.NewTimer(time.Until(n.Deadline))
	defer timer.Stop()
	select {
	case <-gone:
	case <-timer.C:
	}
	return Mend(path)
}
