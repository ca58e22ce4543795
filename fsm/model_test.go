package fsm_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tandem/billing"
	"tandem/fsm"
)

// model is what a newcomer would write: it knows money and limits, and nothing
// of tables, indexes, slices or the log.
type model struct {
	*story
	funds    map[string]billing.Amount
	maxCalls map[string]int
	calls    map[string]*modelCall
	bought   map[uint64]*modelPurchase
	ended    uint64
}

// modelPurchase is seconds that an account has bought, for numbers with a prefix.
type modelPurchase struct {
	account, prefix string
	left            time.Duration
}

type modelCall struct {
	account  string
	prefix   string
	rate     billing.Rate
	held     billing.Amount
	prepaid  []fsm.Prepaid
	answered fsm.Time
	slice    uint32
	last     bool
}

var modelRates = map[string]billing.Rate{
	"44": {Price: 600_000_000, First: 1, Next: 1},
	"49": {Price: 450_000_000, First: 60, Next: 6, ConnectFee: 20_000},
	"51": {Price: 0},
	"52": {Price: 1_000_000_000, First: 30, Next: 30, Minimum: 45, Free: 5},
}

func (m *model) held(account string) (sum billing.Amount, live int) {
	for _, c := range m.calls {
		if c.account == account {
			sum += c.held
			live++
		}
	}
	return sum, live
}

// do applies a command at the present time.
func (m *model) do(t *rapid.T, body fsm.Body) fsm.Result {
	m.index++
	e := fsm.Entry{At: m.now, Commands: []fsm.Command{{Body: body, Origin: fsm.Origin{Node: "n1", Incarnation: 1}}}}
	out := m.state.Apply(m.index, e)
	if err := m.state.Check(); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.CDRs {
		if m.ended++; r.Seq != m.ended {
			t.Fatalf("CDR %d where %d is next", r.Seq, m.ended)
		}
	}
	return out.Results[0]
}

// TestModel compares money and limits with the model under random commands.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"": m.compare,
			"time": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.Int64Range(1, 90_000).Draw(t, "ms")) * time.Millisecond)
			},
			"topup": func(t *rapid.T) {
				a, sum := m.anAccount(t), billing.Amount(rapid.Int64Range(-3_000_000, 5_000_000).Draw(t, "amount"))
				held, _ := m.held(a)
				ok := sum != 0 && m.funds[a]-held+sum >= 0 || sum > 0
				if r := m.do(t, &fsm.TopUp{Account: a, Amount: sum}); (r.Code == fsm.OK) != ok {
					t.Fatalf("top-up of %s: %s %s", sum, r.Code, r.Detail)
				} else if ok {
					m.funds[a] += sum
				}
			},
			"buy":    m.buy,
			"start":  func(t *rapid.T) { n++; m.start(t, fmt.Sprint("c", n)) },
			"answer": m.answer,
			"extend": m.extend,
			"end":    m.end,
		})
	})
}

func newModel(t *rapid.T) *model {
	m := &model{
		story: &story{state: fsm.New(fsm.Config{}), now: 1_800_000_000_000_000},
		funds: map[string]billing.Amount{"a": 0, "b": 0}, maxCalls: map[string]int{"a": 0, "b": 3}, calls: map[string]*modelCall{},
		bought: map[uint64]*modelPurchase{},
	}
	var rows []fsm.RateRow
	for _, p := range slices.Sorted(maps.Keys(modelRates)) {
		r := modelRates[p]
		rows = append(rows, fsm.RateRow{
			Prefix: p, Price: r.Price, ConnectFee: r.ConnectFee,
			First: uint16(r.First), Next: uint16(r.Next), Minimum: uint16(r.Minimum), Free: uint16(r.Free),
		})
	}
	addr := fsm.Prefix{IP: [16]byte{15: 1}, Bits: 128}
	for _, b := range []fsm.Body{
		&fsm.NodeUp{Node: "n1", Incarnation: 1, Level: 1},
		&fsm.PutRateTable{Table: fsm.RateTable{ID: "std", Currency: "USD"}},
		&fsm.ImportRates{Table: "std", Version: 1, Rows: rows},
		&fsm.ActivateRates{Table: "std", Version: 1, Rows: uint32(len(rows))},
		&fsm.PutAccount{Account: fsm.Account{ID: "a", Type: fsm.Client, Currency: "USD", RateTable: "std"}},
		&fsm.PutAccount{Account: fsm.Account{ID: "b", Type: fsm.Client, Currency: "USD", RateTable: "std", MaxCalls: 3}},
		&fsm.PutPackage{Package: fsm.Package{ID: "any", Currency: "USD", Price: 200_000, Time: 25 * time.Second}},
		&fsm.PutPackage{Package: fsm.Package{ID: "44", Currency: "USD", Time: 90 * time.Second, Prefixes: []string{"44"}, Priority: -1}},
		&fsm.PutAccount{Account: fsm.Account{ID: "v", Type: fsm.Vendor, Currency: "EUR"}},
		&fsm.PutMappingGateway{Gateway: fsm.MappingGateway{ID: "a", Account: "a", Addrs: []fsm.Prefix{addr}, Port: 1}},
		&fsm.PutMappingGateway{Gateway: fsm.MappingGateway{ID: "b", Account: "b", Addrs: []fsm.Prefix{addr}, Port: 2}},
		&fsm.PutRoutingGateway{Gateway: fsm.RoutingGateway{ID: "g", Account: "v", Prefixes: []string{""}, Host: "vendor.example"}},
	} {
		if r := m.do(t, b); r.Code != fsm.OK {
			t.Fatalf("%T: %s %s", b, r.Code, r.Detail)
		}
	}
	return m
}

func (m *model) anAccount(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account")
}

// aCall picks a live call that is answered, or is not.
func (m *model) aCall(t *rapid.T, answered bool) (string, *modelCall) {
	var names []string
	for _, n := range slices.Sorted(maps.Keys(m.calls)) {
		if (m.calls[n].answered != 0) == answered {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		t.Skip("no such call")
	}
	n := rapid.SampledFrom(names).Draw(t, "call")
	return n, m.calls[n]
}

func (m *model) start(t *rapid.T, name string) {
	a := m.anAccount(t)
	prefix := rapid.SampledFrom([]string{"44", "49", "51", "52", "7"}).Draw(t, "prefix")
	rate, rated := modelRates[prefix]
	held, live := m.held(a)
	free := m.funds[a] - held
	want := fsm.OK
	switch {
	case m.maxCalls[a] > 0 && live >= m.maxCalls[a]:
		want = fsm.AccountLimit
	case !rated:
		want = fsm.NoRate
	case rate.Cost(rate.Through(rate.Free.Duration()+time.Second)) > free && (rate.Price == 0 || m.seconds(a, prefix) == 0):
		want = fsm.NoMoney
	}
	port := map[string]uint16{"a": 1, "b": 2}[a]
	r := m.do(t, &fsm.StartCall{Call: call(name), Source: fsm.Addr{IP: [16]byte{15: 1}, Port: port}, Caller: "12345", Callee: prefix + "00"})
	if r.Code != want && !(want == fsm.NoMoney && rate.Free > 0 && r.Code == fsm.OK) {
		t.Fatalf("start at %s available and %d live: %s %s, want %s", free, live, r.Code, r.Detail, want)
	}
	if r.Code == fsm.OK {
		m.calls[name] = &modelCall{account: a, prefix: prefix, rate: rate, slice: 1, last: r.Grant.Last}
		m.granted(t, name, r.Grant)
	}
}

// buy buys a package, as often as the account may have one.
func (m *model) buy(t *rapid.T) {
	a := m.anAccount(t)
	id := rapid.SampledFrom([]string{"any", "44"}).Draw(t, "package")
	held, _ := m.held(a)
	r := m.do(t, &fsm.BuyPackage{Account: a, Package: id})
	switch {
	case r.Code == fsm.Full:
	case id == "any" && m.funds[a]-held < 200_000:
		if r.Code != fsm.Conflict {
			t.Fatalf("bought with %s available: %s", m.funds[a]-held, r.Code)
		}
	case r.Code != fsm.OK:
		t.Fatalf("buy: %s %s", r.Code, r.Detail)
	case id == "any":
		m.funds[a] -= 200_000
		m.bought[r.Count] = &modelPurchase{account: a, left: 25 * time.Second}
	default:
		m.bought[r.Count] = &modelPurchase{account: a, prefix: "44", left: 90 * time.Second}
	}
}

// seconds returns what is left of an account's packages for a number, beside what
// its calls hold.
func (m *model) seconds(account, number string) (sum time.Duration) {
	for id, p := range m.bought {
		if p.account == account && strings.HasPrefix(number, p.prefix) {
			sum += p.left - m.heldOf(id)
		}
	}
	return sum
}

func (m *model) heldOf(purchase uint64) (sum time.Duration) {
	for _, c := range m.calls {
		for _, p := range c.prepaid {
			if p.Purchase == purchase {
				sum += p.Time
			}
		}
	}
	return sum
}

func total(parts []fsm.Prepaid) (sum time.Duration) {
	for _, p := range parts {
		sum += p.Time
	}
	return sum
}

// granted checks what a call holds for its grant: seconds that there are and that
// are for its number, once it holds money no more of them, and what the rest costs.
func (m *model) granted(t *rapid.T, name string, g fsm.Grant) {
	c := m.calls[name]
	live, _ := m.state.Call(call(name))
	before, after := total(c.prepaid), total(live.Prepaid)
	if after < before || after > before+m.seconds(c.account, c.prefix) || after > g.For || c.held > 0 && after != before {
		t.Fatalf("call for %s with %s of packages and %s of money: now %s of packages, %s were left",
			g.For, before, c.held, after, m.seconds(c.account, c.prefix))
	}
	if c.rate.Price == 0 && after > 0 {
		t.Fatal("a call that costs nothing takes of a package")
	}
	c.prepaid, c.held = live.Prepaid, c.rate.Cost(g.For-after)
}

func (m *model) answer(t *rapid.T) {
	n, c := m.aCall(t, false)
	if r := m.do(t, &fsm.AnswerCall{Call: call(n), Epoch: 1}); r.Code != fsm.OK {
		t.Fatalf("answer: %s %s", r.Code, r.Detail)
	}
	c.answered = m.now
}

func (m *model) extend(t *rapid.T) {
	n, c := m.aCall(t, true)
	held, _ := m.held(c.account)
	free := m.funds[c.account] - held
	r := m.do(t, &fsm.ExtendCall{Call: call(n), Epoch: 1, Slice: c.slice + 1})
	switch r.Code {
	case fsm.OK:
		c.slice++
		before := c.held
		m.granted(t, n, r.Grant)
		if c.held < before || c.held-before > free {
			t.Fatalf("hold of %s raised to %s with %s available", before, c.held, free)
		}
	case fsm.NoFunds:
		prepaid := total(c.prepaid)
		if next := c.rate.Cost(c.rate.Through(r.Grant.For - prepaid + time.Second)); next-c.held <= free {
			t.Fatalf("refused at %s although %s are available for %s", r.Grant.For, free, next-c.held)
		}
		if left := m.seconds(c.account, c.prefix); r.Grant.For == prepaid && left > 0 {
			t.Fatalf("refused at %s although %s of packages are left", prepaid, left)
		}
	default:
		t.Fatalf("extend: %s %s", r.Code, r.Detail)
	}
}

func (m *model) end(t *rapid.T) {
	n, c := m.aCall(t, rapid.Bool().Draw(t, "answered"))
	r := m.do(t, &fsm.EndCall{Call: call(n), Epoch: 1, How: fsm.EndFact, Reason: fsm.EndNormal, By: fsm.ByCaller})
	var fee billing.Amount
	if c.answered != 0 {
		talk := m.now.Sub(c.answered).Truncate(time.Second)
		if m.now.Sub(c.answered)-talk >= 50*time.Millisecond {
			talk += time.Second
		}
		for _, p := range c.prepaid {
			take := min(p.Time, talk)
			m.bought[p.Purchase].left -= take
			talk -= take
		}
		fee = min(c.rate.Cost(talk), c.held)
	}
	if r.Code != fsm.OK || r.Fee != fee {
		t.Fatalf("end: %s %s, fee %s, want %s", r.Code, r.Detail, r.Fee, fee)
	}
	m.funds[c.account] -= fee
	delete(m.calls, n)
}

func (m *model) compare(t *rapid.T) {
	for id, funds := range m.funds {
		a, _ := m.state.Account(id)
		held, live := m.held(id)
		if a.Balance.Funds != funds || a.Balance.Held != held || int(a.Live) != live {
			t.Fatalf("account %s: %s, held %s, %d live; want %s, %s, %d", id, a.Balance.Funds, a.Balance.Held, a.Live, funds, held, live)
		}
		if funds-held < 0 {
			t.Fatalf("account %s: %s held of %s", id, held, funds)
		}
		for _, p := range m.state.Purchases(id) {
			if left, held := billing.SecondsOf(p.Balance.Funds), billing.SecondsOf(p.Balance.Held); left != m.bought[p.ID].left || held != m.heldOf(p.ID) {
				t.Fatalf("purchase %d: %s left, %s held; want %s, %s", p.ID, left, held, m.bought[p.ID].left, m.heldOf(p.ID))
			}
		}
	}
}
