package fsm_test

import (
	"strings"
	"time"

	"tandem/billing"
	"tandem/fsm"
)

// commands make the body of a command from a line.
var commands = map[string]func(*story, words) fsm.Body{
	"node": func(p *story, w words) fsm.Body {
		n := fsm.NodeID(w.at(1))
		b := &fsm.NodeUp{
			Node: n, Incarnation: w.number("inc", p.incs[n]+1), Level: uint16(w.number("level", 1)),
			Version: "0.1", Witness: w.has("witness"),
		}
		for _, ip := range w.many("at") {
			b.Addresses = append(b.Addresses, fsm.ServiceAddress{IP: ip, Move: w.text("move", "")})
		}
		return b
	},
	"down": func(p *story, w words) fsm.Body {
		n := fsm.NodeID(w.at(1))
		b := &fsm.NodeDown{Node: n, Incarnation: w.number("of", p.incs[n]), Exited: w.has("exited")}
		for _, m := range w.many("pledges") {
			node, of, _ := strings.Cut(m, "#")
			p := fsm.Pledge{Node: fsm.NodeID(node), Incarnation: p.incs[fsm.NodeID(node)]}
			if of != "" {
				p.Incarnation = uint64(atoi(w, of))
			}
			b.Pledges = append(b.Pledges, p)
		}
		return b
	},
	"handover": func(_ *story, w words) fsm.Body {
		return &fsm.HandOver{IP: w.at(1), To: fsm.NodeID(w.text("to", ""))}
	},
	"drain": func(_ *story, w words) fsm.Body {
		return &fsm.SetDrain{Node: fsm.NodeID(w.at(1)), On: true, By: w.text("by", ""), Reason: w.text("reason", "")}
	},
	"undrain": func(_ *story, w words) fsm.Body { return &fsm.SetDrain{Node: fsm.NodeID(w.at(1))} },
	"remove":  func(_ *story, w words) fsm.Body { return &fsm.RemoveMember{Node: fsm.NodeID(w.at(1))} },
	"forget": func(p *story, w words) fsm.Body {
		return &fsm.ForgetDays{Before: fsm.DayOf(p.start) + int32(w.number("day", 0))}
	},
	"phone": func(_ *story, w words) fsm.Body {
		return &fsm.PutPhone{Phone: fsm.Phone{
			Number: w.at(1), Account: w.text("account", ""), User: w.text("user", ""), LockIn: w.has("lock-in"), LockOut: w.has("lock-out"),
			MaxCalls: uint32(w.number("calls", 0)), MaxContacts: uint8(w.number("contacts", 0)),
			Secrets: []fsm.Secret{{Algorithm: "MD5", Realm: "tandem", HA1: make([]byte, 16)}},
		}}
	},
	"register": func(p *story, w words) fsm.Body {
		n := fsm.NodeID(w.text("node", "n1"))
		b := &fsm.PutBinding{
			Number: w.at(1), CallID: w.text("call-id", "1@phone"), CSeq: uint32(w.number("cseq", 1)), UserAgent: "deskphone",
			Flow: fsm.Flow{
				Line: w.text("line", ""), Via: w.text("via", "udp"), Peer: w.addr("from", "192.0.2.77:5062"),
				Node: n, Incarnation: p.incs[n], ID: w.text("flow", ""),
			},
		}
		for _, uri := range w.list[2:] {
			c := fsm.Contact{URI: uri, Q: uint16(w.number("q", 500)), For: time.Hour}
			if _, set := w.named["for"]; set {
				c.For = w.duration("for")
			}
			if c.Instance = w.text("id", ""); c.Instance != "" {
				c.RegID = 1
			}
			b.Contacts = append(b.Contacts, c)
		}
		return b
	},
	"unregister": func(_ *story, w words) fsm.Body {
		return &fsm.DropBinding{Number: w.at(1), ID: w.text("id", ""), Reason: w.text("reason", "")}
	},
	"account": func(p *story, w words) fsm.Body { return &fsm.PutAccount{Account: p.account(w, fsm.Client)} },
	"vendor":  func(p *story, w words) fsm.Body { return &fsm.PutAccount{Account: p.account(w, fsm.Vendor)} },
	"topup": func(_ *story, w words) fsm.Body {
		return &fsm.TopUp{Account: w.at(1), Amount: w.amount(w.at(2)), Memo: w.text("memo", ""), Actor: "ann", Adjust: w.has("adjust")}
	},
	"package": func(_ *story, w words) fsm.Body {
		return &fsm.PutPackage{Package: fsm.Package{
			ID: w.at(1), Currency: w.text("currency", "USD"), Price: w.amount(w.text("price", "0")), Time: w.duration("time"),
			Prefixes: w.many("prefixes"), Validity: w.duration("valid"), Priority: int32(w.number("priority", 0)),
		}}
	},
	"buy": func(_ *story, w words) fsm.Body {
		return &fsm.BuyPackage{Account: w.at(1), Package: w.at(2), Actor: "ann"}
	},
	"table": func(_ *story, w words) fsm.Body {
		return &fsm.PutRateTable{Table: fsm.RateTable{ID: w.at(1), Currency: w.text("currency", "USD")}}
	},
	"import": func(_ *story, w words) fsm.Body {
		return &fsm.ImportRates{Table: w.at(1), Version: w.number("version", 1), Chunk: uint32(w.number("chunk", 0)), Rows: w.rows(2)}
	},
	"activate": func(_ *story, w words) fsm.Body {
		return &fsm.ActivateRates{Table: w.at(1), Version: w.number("version", 1), Rows: uint32(w.number("rows", 1))}
	},
	"ingress": func(_ *story, w words) fsm.Body { return &fsm.PutMappingGateway{Gateway: w.ingress()} },
	"egress":  func(_ *story, w words) fsm.Body { return &fsm.PutRoutingGateway{Gateway: w.egress()} },
	"health": func(_ *story, w words) fsm.Body {
		return &fsm.GatewayHealth{Gateway: w.at(1), Out: w.duration("out"), Reason: w.text("reason", "")}
	},
	"delete": func(_ *story, w words) fsm.Body {
		switch w.at(1) {
		case "account":
			return &fsm.DeleteAccount{ID: w.at(2)}
		case "ingress":
			return &fsm.DeleteGateway{ID: w.at(2), Mapping: true}
		case "egress":
			return &fsm.DeleteGateway{ID: w.at(2)}
		case "table":
			return &fsm.DeleteRateTable{ID: w.at(2)}
		case "list":
			return &fsm.DeleteNumberList{Name: w.at(2)}
		case "package":
			return &fsm.DeletePackage{ID: w.at(2)}
		case "phone":
			return &fsm.DeletePhone{Number: w.at(2)}
		case "token":
			return &fsm.DeleteToken{ID: w.at(2)}
		}
		return &fsm.DeleteBlock{Number: w.at(2), List: lists[w.at(1)], Scope: w.text("scope", "")}
	},
	"param": func(_ *story, w words) fsm.Body {
		return &fsm.SetParameter{Name: w.at(1), Value: strings.Join(w.list[2:], " ")}
	},
	"list": func(_ *story, w words) fsm.Body {
		return &fsm.PutNumberList{List: fsm.NumberList{Name: w.at(1), Numbers: w.list[2:]}}
	},
	"block": func(_ *story, w words) fsm.Body {
		b := fsm.Block{Number: w.at(1), List: lists[w.text("list", "malicious")], Scope: w.text("scope", ""), Memo: w.text("memo", "")}
		return &fsm.PutBlock{Block: b, For: w.duration("for"), Forever: w.has("forever")}
	},
	"token": func(_ *story, w words) fsm.Body {
		return &fsm.PutToken{Token: fsm.Token{ID: w.at(1), Role: w.text("role", "viewer")}}
	},
	"level": func(_ *story, w words) fsm.Body { return &fsm.RaiseFeatureLevel{Level: uint16(w.number("to", 1))} },
	"tick":  func(*story, words) fsm.Body { return &fsm.Tick{} },

	"start": func(_ *story, w words) fsm.Body {
		return &fsm.StartCall{
			Call: call(w.at(1)), Source: w.addr("from", "192.0.2.10:5060"), SourceVia: "udp",
			Caller: w.text("caller", "442079460001"), Callee: w.text("callee", "4915112345"), SIPCallID: w.at(1) + "@caller",
			Line: w.text("line", ""), Phone: w.text("phone", ""),
		}
	},
	"ring": func(p *story, w words) fsm.Body {
		return &fsm.Progress{Call: call(w.at(1)), Epoch: p.epoch(w), Candidate: uint8(w.number("cand", 0)), Status: 180}
	},
	"answer": func(p *story, w words) fsm.Body {
		return &fsm.AnswerCall{Call: call(w.at(1)), Epoch: p.epoch(w), Candidate: uint8(w.number("cand", 0)), Codec: "PCMA"}
	},
	"extend": func(p *story, w words) fsm.Body {
		c, _ := p.state.Call(call(w.at(1)))
		return &fsm.ExtendCall{Call: call(w.at(1)), Epoch: p.epoch(w), Slice: uint32(w.number("slice", uint64(c.Slice)+1))}
	},
	"end": func(p *story, w words) fsm.Body {
		return &fsm.EndCall{
			Call: call(w.at(1)), Epoch: p.epoch(w), By: parties[w.text("by", "caller")], SIPStatus: uint16(w.number("status", 0)),
			How:    map[string]fsm.EndKind{"fact": fsm.EndFact, "decision": fsm.EndDecision, "void": fsm.EndVoid}[w.text("how", "fact")],
			Reason: reason(w.text("reason", "normal")),
			Told:   map[string]fsm.Legs{"a": fsm.LegA, "b": fsm.LegB, "both": fsm.LegA | fsm.LegB}[w.text("told", "")],
		}
	},
	"legs": func(p *story, w words) fsm.Body {
		return &fsm.UpdateLegs{Call: call(w.at(1)), Epoch: p.epoch(w), Line: w.text("line", "")}
	},
	"beat": func(_ *story, w words) fsm.Body {
		b := &fsm.Beat{}
		for _, c := range w.many("silent") {
			b.Silent = append(b.Silent, call(c))
		}
		return b
	},
	"refused": func(_ *story, w words) fsm.Body {
		return &fsm.Refused{
			Source: w.addr("from", "203.0.113.66:5060"), Reason: reason(w.text("reason", "unknown-source")),
			Count: uint32(w.number("count", 1)), First: w.duration("first"), Last: w.duration("last"), Caller: "1000", Callee: "900442",
		}
	},
}

var (
	lists   = map[string]fsm.BlockList{"malicious": fsm.Malicious, "no-answer": fsm.NoAnswer, "concurrent": fsm.Concurrent}
	parties = map[string]fsm.Party{"caller": fsm.ByCaller, "callee": fsm.ByCallee, "server": fsm.ByServer}
)

func reason(name string) fsm.EndReason {
	for r := fsm.EndNormal; r <= fsm.EndRestored; r++ {
		if r.String() == name {
			return r
		}
	}
	return 0
}

// epoch is the one that the call has, unless the line says another.
func (p *story) epoch(w words) fsm.Epoch {
	c, _ := p.state.Call(call(w.at(1)))
	return fsm.Epoch(w.number("epoch", uint64(max(c.Epoch, 1))))
}

func (p *story) account(w words, t fsm.AccountType) fsm.Account {
	a := fsm.Account{
		ID: w.at(1), Type: t, Currency: w.text("currency", "USD"), RateTable: w.text("table", ""),
		Locked: w.has("locked"), AllowDebt: w.has("debt"), Advance: w.duration("advance"),
		MaxCalls: uint32(w.number("calls", 0)), MaxCPS: uint32(w.number("cps", 0)), MaxDuration: w.duration("longest"),
		AllowCallee: w.many("allow"), BlockCallee: w.many("deny"), MaxSpend: w.amount(w.text("spend", "0")),
	}
	a.Balance.Credit = w.amount(w.text("credit", "0"))
	for _, ip := range w.many("ip") {
		a.AccessIPs = append(a.AccessIPs, w.prefix(ip))
	}
	if d := w.duration("expires"); d != 0 {
		a.Expiry = p.now.Add(d)
	}
	return a
}

func (w words) ingress() fsm.MappingGateway {
	g := fsm.MappingGateway{
		ID: w.at(1), Account: w.text("account", ""), Port: uint16(w.number("port", 0)), TechPrefix: w.text("tech", ""),
		Disabled: w.has("disabled"), MaxCalls: uint32(w.number("calls", 0)), Routes: w.many("routes"), DenyRoutes: w.has("deny-routes"),
		RateTable: w.text("table", ""), Rules: w.rules(),
	}
	for _, ip := range w.many("addr") {
		g.Addrs = append(g.Addrs, w.prefix(ip))
	}
	return g
}

func (w words) egress() fsm.RoutingGateway {
	g := fsm.RoutingGateway{
		ID: w.at(1), Account: w.text("account", ""), Prefixes: w.many("prefixes"), Priority: int32(w.number("prio", 0)),
		Disabled: w.has("disabled"), MaxCalls: uint32(w.number("calls", 0)), MaxCPS: uint32(w.number("cps", 0)),
		Standalone: w.has("standalone"), CheckRate: w.has("check-rate"), Rules: w.rules(),
		Addrs: []fsm.Addr{w.addr("addr", "198.51.100.1:5060")},
	}
	if w.has("terminate") {
		g.Mode = fsm.PrefixTerminate
	}
	var err error
	if v := w.text("profit", ""); v != "" {
		g.MinProfit, err = billing.ParsePrice(v)
		w.check(err)
	}
	if v := w.text("max-rate", ""); v != "" {
		g.MaxRate, err = billing.ParsePrice(v)
		w.check(err)
	}
	return g
}

func (w words) rules() fsm.NumberRules {
	r := fsm.NumberRules{
		AllowCaller: w.many("allow-caller"), DenyCaller: w.many("deny-caller"),
		AllowCallee: w.many("allow-callee"), DenyCallee: w.many("deny-callee"),
		CallerBlack: w.text("caller-black", ""), CalleeWhite: w.text("callee-white", ""),
	}
	for _, rule := range w.many("rewrite") {
		from, to, _ := strings.Cut(rule, ">")
		r.CalleePlan = append(r.CalleePlan, fsm.Transform{From: from, To: to})
	}
	return r
}

// rows reads rates such as 44=0.60/60/1 or 44=0.60/60/1+0.05, with a connect fee.
func (w words) rows(_ int) (rows []fsm.RateRow) {
	for _, f := range strings.Fields(w.line)[2:] {
		prefix, rest, _ := strings.Cut(f, ":")
		if rest == "" {
			continue
		}
		rest, fee, _ := strings.Cut(rest, "+")
		parts := strings.Split(rest, "/")
		r := fsm.RateRow{Prefix: prefix, Area: "area-" + prefix}
		var err error
		r.Price, err = billing.ParsePrice(parts[0])
		w.check(err)
		if len(parts) == 3 {
			r.First, r.Next = uint16(atoi(w, parts[1])), uint16(atoi(w, parts[2]))
		}
		if fee != "" {
			r.ConnectFee = w.amount(fee)
		}
		rows = append(rows, r)
	}
	return rows
}

func atoi(w words, s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

func (w words) amount(s string) billing.Amount {
	a, err := billing.ParseAmount(s)
	w.check(err)
	return a
}

func (w words) addr(name, none string) fsm.Addr {
	a, err := fsm.ParseAddr(w.text(name, none))
	w.check(err)
	return a
}

func (w words) prefix(s string) fsm.Prefix {
	p, err := fsm.ParsePrefix(s)
	w.check(err)
	return p
}
