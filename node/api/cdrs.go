package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tandem/billing"
	"tandem/fsm"
	"tandem/node/api/client"
	"tandem/node/cdr"
)

func (s *server) addCDRs(api huma.API) {
	op := func(method, path, id, summary string) huma.Operation {
		return tagged("cdrs", operation(api, method, path, id, summary))
	}
	huma.Register(api, op(http.MethodGet, "/cdrs", "search-cdrs", "Search call detail records, newest first"), s.cdrs)
	huma.Register(api, op(http.MethodGet, "/cdrs/{seq}", "get-cdr", "Show a call detail record"), s.cdr)
}

type searchCDRs struct {
	Paging
	From     time.Time `query:"from" doc:"Ended then or later"`
	To       time.Time `query:"to" doc:"Ended before"`
	Account  string    `query:"account" maxLength:"64" doc:"Client or vendor"`
	Number   string    `query:"number" maxLength:"63" doc:"Normalised caller or callee"`
	Gateway  string    `query:"gateway" maxLength:"64" doc:"Ingress or egress"`
	Reason   string    `query:"reason" maxLength:"32" doc:"End reason" example:"no-answer"`
	Answered bool      `query:"answered" doc:"Answered calls only"`
}

func (s *server) cdrs(ctx context.Context, in *searchCDRs) (*page[client.CDR], error) {
	before, err := in.sequence()
	if err != nil {
		return nil, err
	}
	reason, ok := endReason(in.Reason)
	if !ok {
		return nil, badField("query.reason", in.Reason, "is no end reason")
	}
	var index uint64
	var counts fsm.Counts
	s.cfg.State.View(func(st *fsm.State) { index, counts = st.Index(), st.Counts() })
	found, err := s.cfg.CDRs.Search(ctx, cdr.Query{
		From: logTime(client.Time{Time: in.From}), To: logTime(client.Time{Time: in.To}), Account: in.Account, Number: in.Number,
		Gateway: in.Gateway, Reason: reason, Answered: in.Answered, Before: before, Limit: in.Limit,
	})
	if err != nil {
		return nil, s.unavailable(err)
	}
	items := make([]client.CDR, 0, len(found.CDRs))
	for i := range found.CDRs {
		items = append(items, showCDR(&found.CDRs[i]))
	}
	out := listed(ctx, items, sequenceKey(found.Next), index)
	gaps, _ := s.cfg.CDRs.Missing(counts.CDRs, counts.Transfers)
	out.Body.Partial = found.Partial || len(gaps) > 0
	return out, nil
}

// endReason finds a reason by its name; no name is any reason.
func endReason(name string) (fsm.EndReason, bool) {
	if name == "" {
		return 0, true
	}
	for r := fsm.EndNormal; r <= fsm.EndRestored; r++ {
		if r.String() == name {
			return r, true
		}
	}
	return 0, false
}

type getCDR struct {
	Reading
	Seq uint64 `path:"seq" minimum:"1"`
}

func (s *server) cdr(ctx context.Context, in *getCDR) (*object[client.CDR], error) {
	var index uint64
	s.cfg.State.View(func(st *fsm.State) { index = st.Index() })
	r, ok, err := s.cfg.CDRs.Get(ctx, in.Seq)
	if err != nil {
		return nil, s.unavailable(err)
	}
	if !ok && in.Seq < s.cfg.CDRs.Horizon().CDR {
		return nil, problem(http.StatusGone, client.CodeExpired, "cdr %d is expired: its day has been deleted", in.Seq).
			hint("parameter CDR_DAYS_KEPT says how long CDRs are kept: tandem param show CDR_DAYS_KEPT")
	}
	if !ok {
		return nil, notThere("cdr %d", in.Seq).hint("tandem cdr search")
	}
	return &object[client.CDR]{Index: index, Body: showCDR(&r)}, nil
}

func showCDR(r *fsm.CDR) client.CDR {
	out := client.CDR{
		Seq: r.Seq, Index: r.Index, Call: callID(r.Call), Amends: r.Amends, Mode: billingMode(r.Mode), Account: r.Account, Vendor: r.Vendor,
		Ingress: r.Ingress, Egress: r.Egress, Source: r.Source.String(), EgressAddr: r.EgressAddr.String(),
		CallerMedia: r.CallerMedia.String(), CalleeMedia: r.CalleeMedia.String(), SIPCallIDA: r.SIPCallIDA, SIPCallIDB: r.SIPCallIDB,
		RawCaller: r.RawCaller, RawCallee: r.RawCallee, Caller: r.Caller, Callee: r.Callee, SentCaller: r.SentCaller, SentCallee: r.SentCallee,
		Started: timeOf(r.Started), Ringing: timeOf(r.Ringing), Answered: timeOf(r.Answered), Ended: timeOf(r.Ended),
		PDD: client.Seconds(r.PDD), Duration: client.Seconds(r.Duration), Billed: client.Seconds(r.Billed),
		Reason: r.Reason.String(), SIPStatus: r.SIPStatus, Q850: r.Q850, Codec: r.Codec, MediaA: showMedia(r.MediaA), MediaB: showMedia(r.MediaB),
		Currency: r.Currency, CostCurrency: r.CostCurrency, Fee: r.Fee, Cost: r.Cost, Held: r.Held, OverGrant: client.Seconds(r.OverGrant),
		Estimated: r.Estimated, Aggregate: r.Aggregate, Attempts: showAttempts(r.Attempts), Owners: showOwners(r.Owners), Node: string(r.Node),
		Packages: showPrepaid(r.Prepaid), Detail: r.Detail, ChargeSeq: r.ChargeSeq, CostSeq: r.CostSeq,
	}
	if r.EndedBy != 0 {
		out.EndedBy = r.EndedBy.String()
	}
	if r.RateTable != "" {
		out.Rate = showCallRate(r.RateTable, r.RateVersion, r.RatePrefix, r.Area, r.Rate)
	}
	if r.CostVersion != 0 {
		out.CostRate = showCallRate("", r.CostVersion, r.CostPrefix, "", r.CostRate)
	}
	if r.Answered != 0 && out.Rate != nil {
		_, rest := r.Cover().Split(r.Duration - r.OverGrant)
		out.Rate.Unrounded = r.Rate.Unrounded(rest)
	}
	return out
}

func showCallRate(table string, version uint64, prefix, area string, r billing.Rate) *client.CallRate {
	return &client.CallRate{
		Table: table, Version: version, Prefix: prefix, Area: area, Price: r.Price, ConnectFee: r.ConnectFee,
		First: client.Seconds(r.First.Duration()), Next: client.Seconds(r.Next.Duration()),
		Minimum: client.Seconds(r.Minimum.Duration()), Free: client.Seconds(r.Free.Duration()),
	}
}

func showMedia(m fsm.MediaStats) client.Media {
	return client.Media{Packets: m.Packets, Bytes: m.Bytes, Lost: m.Lost, Jitter: client.Seconds(m.Jitter)}
}

func showAttempts(list []fsm.Attempt) []client.Attempt {
	out := make([]client.Attempt, 0, len(list))
	for _, a := range list {
		out = append(out, client.Attempt{
			Gateway: a.Gateway, Address: a.Address.String(), Caller: a.Caller, Callee: a.Callee, Start: client.Seconds(a.Start),
			PDD: client.Seconds(a.PDD), Status: a.Status, Q850: a.Q850, Skipped: a.Skipped, CallID: a.CallID,
		})
	}
	return out
}

func billingMode(m fsm.BillingMode) string {
	switch m {
	case fsm.ModeNone:
		return "none"
	case fsm.ModePhone:
		return "phone"
	case fsm.ModeMapping:
		return "mapping"
	case fsm.ModeIllegal:
		return "illegal"
	}
	return strconv.Itoa(int(m))
}
