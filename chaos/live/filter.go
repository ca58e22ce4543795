package live

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"

	"tandem/chaos"
)

// table is the packet filter's table that holds everything this package drops.
const table = "tandem_chaos"

// cut is one direction between two nodes' cluster addresses; chance is the part of
// the packets that is lost, in percent.
type cut struct {
	from, to netip.Addr
	percent  int
}

// cutsOf lists what a fault of the network drops. Who is in two groups is a bridge.
func cutsOf(f chaos.Fault, groups [][]Node) []cut {
	var all []cut
	add := func(a, b Node, percent int) {
		if a.Name != b.Name {
			all = append(all, cut{a.IP, b.IP, percent})
		}
	}
	if f.Kind == chaos.Loss {
		for _, a := range groups[0] {
			for _, b := range groups[0] {
				add(a, b, max(1, int(f.Chance*100)))
			}
		}
		return all
	}
	in := func(group []Node, n Node) bool {
		return slices.ContainsFunc(group, func(o Node) bool { return o.Name == n.Name })
	}
	for i, from := range groups {
		for j, to := range groups {
			if i == j || f.Kind == chaos.Cut && i > j {
				continue
			}
			for _, a := range from {
				for _, b := range to {
					if !in(from, b) && !in(to, a) {
						add(a, b, 100)
					}
				}
			}
		}
	}
	return all
}

// filter drops packets until undo.
func (d *Driver) filter(cuts []cut) (undo func() error, err error) {
	if err := d.cfg.Safety.filtered(); err != nil {
		return nothing, err
	}
	change := func(by int) error {
		d.mu.Lock()
		for _, c := range cuts {
			if d.cuts[c] += by; d.cuts[c] == 0 {
				delete(d.cuts, c)
			}
		}
		text := rules(d.cuts)
		d.mu.Unlock()
		return nft(text)
	}
	return func() error { return change(-1) }, change(+1)
}

// rules is the whole table, replaced in one transaction.
func rules(cuts map[cut]int) string {
	var lines []string
	for c := range cuts {
		family := "ip"
		if c.from.Is6() {
			family = "ip6"
		}
		rule := fmt.Sprintf("add rule inet %s out %s saddr %s %s daddr %s ", table, family, c.from, family, c.to)
		if c.percent < 100 {
			rule += fmt.Sprintf("numgen random mod 100 < %d ", c.percent)
		}
		lines = append(lines, rule+"drop")
	}
	slices.Sort(lines)
	head := []string{
		"add table inet " + table, "delete table inet " + table, "add table inet " + table,
		"add chain inet " + table + " out { type filter hook output priority 0; policy accept; }",
	}
	return strings.Join(append(head, lines...), "\n") + "\n"
}

// unfilter removes the table, if it is there.
func unfilter() error {
	return nft("add table inet " + table + "\ndelete table inet " + table + "\n")
}

func canFilter() bool {
	_, err := exec.LookPath("nft")
	return err == nil && os.Geteuid() == 0
}

func nft(text string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
