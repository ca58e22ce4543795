//go:build e2e

package e2e_test

import (
	"bufio"
	"cmp"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed testdata/*.xml
var scenarios embed.FS

// sipp is one run of the SIP test tool that is not ours. Its scenarios log what
// each call went through.
type sipp struct {
	*process
	l    *lab
	born time.Time // zero of its clock
	logs string    // file with the scenario's log lines
	errs string    // file with what sipp did not expect; missing when there was nothing
}

// phone is what sipp knows of one call, in milliseconds of its own clock; -1:
// has not happened.
type phone struct {
	id      string // SIP Call-ID
	node    int    // customers: the node that they called
	invite  int
	answer  int // customers: 200 received; vendors: ACK received
	bye     int // customers: sent; vendors: received
	done    int // customers: 200 to the BYE received
	cut     int // customers: BYE received
	refused int // when a refusal came
	status  int // of the refusal

	born time.Time // zero of the clock
}

// at is when something happened that sipp's clock shows.
func (p *phone) at(clock int) time.Time { return p.born.Add(time.Duration(clock) * time.Millisecond) }

// setUp is how long the caller waited for the answer.
func (p *phone) setUp() time.Duration { return time.Duration(p.answer-p.invite) * time.Millisecond }

// sippArgs are those of all runs: nothing from the terminal, room for bursts on a
// busy machine, no judgement by sipp's watchdog, OPTIONS answered.
func sippArgs() []string {
	return []string{
		"-nostdin", "-aa", "-buff_size", "4194304", "-timer_resol", "5", "-max_recv_loops", "2000", "-l", "5000",
		"-watchdog_major_maxtriggers", "100000", "-watchdog_minor_maxtriggers", "1000000",
		"-trace_logs", "-trace_err", "-cid_str", "%u-%p@%s",
	}
}

// sipp starts a run. name is unique in the lab; edits are pairs of what is
// replaced in the scenario, where sipp takes no variables; args are the remote address and what else the
// scenario needs.
func (l *lab) sipp(name, scenario string, edits []string, ip string, port int, args ...string) *sipp {
	l.t.Helper()
	text, err := scenarios.ReadFile("testdata/" + scenario + ".xml")
	if err != nil {
		l.t.Fatal(err)
	}
	s := &sipp{l: l, logs: filepath.Join(l.dir, name+".calls"), errs: filepath.Join(l.dir, name+".err")}
	file := l.file(name+".xml", "%s", strings.NewReplacer(append(edits, "TALK", "1000")...).Replace(string(text)))
	all := append(sippArgs(), "-sf", file, "-log_file", s.logs, "-error_file", s.errs,
		"-i", ip, "-p", strconv.Itoa(port), "-mi", ip, "-mp", strconv.Itoa(port+mediaOffset))
	s.born = time.Now()
	s.process = start(l.t, l.dir, name, "sipp", append(all, args...)...)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			if b, err := os.ReadFile(s.errs); err == nil {
				l.t.Logf("--- %s did not expect\n%s", name, b[:min(len(b), shownTail)])
			}
		}
	})
	return s
}

// mediaOffset is from a sipp's signalling port to its media port.
const mediaOffset = 10_000

// vendor starts the carrier that all customers can reach.
func (l *lab) vendor(scenario string) *sipp {
	l.t.Helper()
	return l.carrier("vendor", scenario, vendorPort, nil)
}

// carrier starts a carrier and waits until it listens.
func (l *lab) carrier(name, scenario string, port int, edits []string, args ...string) *sipp {
	l.t.Helper()
	s := l.sipp(name, scenario, edits, vendorIP, port, args...)
	l.listening(vendorIP, port)
	return s
}

// traffic is what customers are to do.
type traffic struct {
	scenario string // empty: customer
	prefix   string // of callees
	caller   string
	cps      int           // over all nodes
	calls    int           // over all nodes
	talk     time.Duration // from answer to BYE
	args     []string
}

// customers starts one customer for each node.
func (l *lab) customers(c traffic) []*sipp {
	l.t.Helper()
	var out []*sipp
	l.runs++
	for i, m := range l.nodes {
		share := c.calls / len(l.nodes)
		if i < c.calls%len(l.nodes) {
			share++
		}
		// A rate of cps/3 as so many calls in three seconds.
		args := append([]string{
			m.sip(), "-key", "prefix", c.prefix, "-key", "caller", c.caller, "-m", strconv.Itoa(share),
			"-r", strconv.Itoa(c.cps), "-rp", strconv.Itoa(1000 * len(l.nodes)),
		}, c.args...)
		name := fmt.Sprintf("customer%d-%s", l.runs, m.name)
		edits := []string{"TALK", strconv.Itoa(int(c.talk.Milliseconds()))}
		out = append(out, l.sipp(name, cmp.Or(c.scenario, "customer"), edits, customerIP, customerPort+100*l.runs+10*i, args...))
	}
	return out
}

// finish waits for customers and returns their calls by Call-ID.
func (l *lab) finish(customers []*sipp, limit time.Duration) map[string]*phone {
	l.t.Helper()
	deadline := time.Now().Add(limit)
	all := map[string]*phone{}
	for i, c := range customers {
		c.wait(time.Until(deadline))
		for id, p := range c.calls() {
			p.node = i
			all[id] = p
		}
	}
	return all
}

// stop ends a run in the middle.
func (s *sipp) stop() { s.signal(syscall.SIGKILL, 5*time.Second) }

// calls reads the log. A line is EVENT CLOCK CALL-ID [STATUS].
func (s *sipp) calls() map[string]*phone {
	s.l.t.Helper()
	out := map[string]*phone{}
	f, err := os.Open(s.logs)
	if err != nil {
		s.l.t.Errorf("%s has logged no call: %v", s.name, err)
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 3 {
			continue
		}
		clock, err := strconv.Atoi(words[1])
		if err != nil {
			continue
		}
		p := out[words[2]]
		if p == nil {
			p = &phone{id: words[2], invite: -1, answer: -1, bye: -1, done: -1, cut: -1, refused: -1, born: s.born}
			out[p.id] = p
		}
		switch words[0] {
		case "invite":
			p.invite = clock
		case "answer":
			p.answer = clock
		case "bye":
			p.bye = clock
		case "done":
			p.done = clock
		case "cut":
			p.cut = clock
		case "refused":
			p.refused = clock
			p.status, _ = strconv.Atoi(words[3])
		}
	}
	return out
}
