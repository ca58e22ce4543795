package fsm

import "tandem/fsm/wire"

// lastKind is the newest kind of command that this binary knows.
const lastKind = KindDropBinding

// String returns the name of the command's type, as transcripts and errors show
// it.
func (k Kind) String() string {
	names := [...]string{
		KindStartCall:         "StartCall",
		KindProgress:          "Progress",
		KindAnswerCall:        "AnswerCall",
		KindExtendCall:        "ExtendCall",
		KindEndCall:           "EndCall",
		KindBeat:              "Beat",
		KindRefused:           "Refused",
		KindGatewayHealth:     "GatewayHealth",
		KindPutAccount:        "PutAccount",
		KindDeleteAccount:     "DeleteAccount",
		KindTopUp:             "TopUp",
		KindPutMappingGateway: "PutMappingGateway",
		KindPutRoutingGateway: "PutRoutingGateway",
		KindDeleteGateway:     "DeleteGateway",
		KindPutRateTable:      "PutRateTable",
		KindDeleteRateTable:   "DeleteRateTable",
		KindImportRates:       "ImportRates",
		KindActivateRates:     "ActivateRates",
		KindSetParameter:      "SetParameter",
		KindPutBlock:          "PutBlock",
		KindDeleteBlock:       "DeleteBlock",
		KindPutNumberList:     "PutNumberList",
		KindDeleteNumberList:  "DeleteNumberList",
		KindPutToken:          "PutToken",
		KindDeleteToken:       "DeleteToken",
		KindNodeUp:            "NodeUp",
		KindNodeDown:          "NodeDown",
		KindRaiseFeatureLevel: "RaiseFeatureLevel",
		KindTick:              "Tick",
		KindHandOver:          "HandOver",
		KindSetDrain:          "SetDrain",
		KindRemoveMember:      "RemoveMember",
		KindUpdateLegs:        "UpdateLegs",
		KindForgetDays:        "ForgetDays",
		KindPutPackage:        "PutPackage",
		KindDeletePackage:     "DeletePackage",
		KindBuyPackage:        "BuyPackage",
		KindPutPhone:          "PutPhone",
		KindDeletePhone:       "DeletePhone",
		KindPutBinding:        "PutBinding",
		KindDropBinding:       "DropBinding",
	}
	if int(k) < len(names) && k != 0 {
		return names[k]
	}
	return "unknown"
}

// fielder is a record with an encoding: fields describes it in both directions.
// A field that fields does not name is lost in the log; a test fills every
// exported field and fails when one does not come back.
type fielder interface{ fields(c *wire.Codec) }

// content is a command's body as this package knows it. Bodies are always
// pointers.
type content interface {
	Body
	fielder
}

// newBody returns an empty body of a kind, or nil for a kind that this binary
// does not know.
func newBody(k Kind) content {
	switch k {
	case KindStartCall:
		return new(StartCall)
	case KindProgress:
		return new(Progress)
	case KindAnswerCall:
		return new(AnswerCall)
	case KindExtendCall:
		return new(ExtendCall)
	case KindEndCall:
		return new(EndCall)
	case KindBeat:
		return new(Beat)
	case KindRefused:
		return new(Refused)
	case KindGatewayHealth:
		return new(GatewayHealth)
	case KindTopUp:
		return new(TopUp)
	case KindNodeUp:
		return new(NodeUp)
	case KindNodeDown:
		return new(NodeDown)
	case KindHandOver:
		return new(HandOver)
	case KindSetDrain:
		return new(SetDrain)
	case KindRemoveMember:
		return new(RemoveMember)
	case KindRaiseFeatureLevel:
		return new(RaiseFeatureLevel)
	case KindTick:
		return new(Tick)
	case KindUpdateLegs:
		return new(UpdateLegs)
	case KindForgetDays:
		return new(ForgetDays)
	}
	return newSetting(k)
}

// newSetting is newBody for what operators change.
func newSetting(k Kind) content {
	switch k {
	case KindPutAccount:
		return new(PutAccount)
	case KindDeleteAccount:
		return new(DeleteAccount)
	case KindPutMappingGateway:
		return new(PutMappingGateway)
	case KindPutRoutingGateway:
		return new(PutRoutingGateway)
	case KindDeleteGateway:
		return new(DeleteGateway)
	case KindPutRateTable:
		return new(PutRateTable)
	case KindDeleteRateTable:
		return new(DeleteRateTable)
	case KindImportRates:
		return new(ImportRates)
	case KindActivateRates:
		return new(ActivateRates)
	case KindSetParameter:
		return new(SetParameter)
	case KindPutBlock:
		return new(PutBlock)
	case KindDeleteBlock:
		return new(DeleteBlock)
	case KindPutNumberList:
		return new(PutNumberList)
	case KindDeleteNumberList:
		return new(DeleteNumberList)
	case KindPutPhone:
		return new(PutPhone)
	case KindDeletePhone:
		return new(DeletePhone)
	case KindPutBinding:
		return new(PutBinding)
	case KindDropBinding:
		return new(DropBinding)
	case KindPutToken:
		return new(PutToken)
	case KindDeleteToken:
		return new(DeleteToken)
	case KindPutPackage:
		return new(PutPackage)
	case KindDeletePackage:
		return new(DeletePackage)
	case KindBuyPackage:
		return new(BuyPackage)
	}
	return nil
}

// Kind returns [KindStartCall].
func (*StartCall) Kind() Kind { return KindStartCall }

// Kind returns [KindProgress].
func (*Progress) Kind() Kind { return KindProgress }

// Kind returns [KindAnswerCall].
func (*AnswerCall) Kind() Kind { return KindAnswerCall }

// Kind returns [KindExtendCall].
func (*ExtendCall) Kind() Kind { return KindExtendCall }

// Kind returns [KindEndCall].
func (*EndCall) Kind() Kind { return KindEndCall }

// Kind returns [KindBeat].
func (*Beat) Kind() Kind { return KindBeat }

// Kind returns [KindRefused].
func (*Refused) Kind() Kind { return KindRefused }

// Kind returns [KindGatewayHealth].
func (*GatewayHealth) Kind() Kind { return KindGatewayHealth }

// Kind returns [KindPutAccount].
func (*PutAccount) Kind() Kind { return KindPutAccount }

// Kind returns [KindDeleteAccount].
func (*DeleteAccount) Kind() Kind { return KindDeleteAccount }

// Kind returns [KindTopUp].
func (*TopUp) Kind() Kind { return KindTopUp }

// Kind returns [KindPutMappingGateway].
func (*PutMappingGateway) Kind() Kind { return KindPutMappingGateway }

// Kind returns [KindPutRoutingGateway].
func (*PutRoutingGateway) Kind() Kind { return KindPutRoutingGateway }

// Kind returns [KindDeleteGateway].
func (*DeleteGateway) Kind() Kind { return KindDeleteGateway }

// Kind returns [KindPutRateTable].
func (*PutRateTable) Kind() Kind { return KindPutRateTable }

// Kind returns [KindDeleteRateTable].
func (*DeleteRateTable) Kind() Kind { return KindDeleteRateTable }

// Kind returns [KindImportRates].
func (*ImportRates) Kind() Kind { return KindImportRates }

// Kind returns [KindActivateRates].
func (*ActivateRates) Kind() Kind { return KindActivateRates }

// Kind returns [KindSetParameter].
func (*SetParameter) Kind() Kind { return KindSetParameter }

// Kind returns [KindPutBlock].
func (*PutBlock) Kind() Kind { return KindPutBlock }

// Kind returns [KindDeleteBlock].
func (*DeleteBlock) Kind() Kind { return KindDeleteBlock }

// Kind returns [KindPutNumberList].
func (*PutNumberList) Kind() Kind { return KindPutNumberList }

// Kind returns [KindDeleteNumberList].
func (*DeleteNumberList) Kind() Kind { return KindDeleteNumberList }

// Kind returns [KindPutToken].
func (*PutToken) Kind() Kind { return KindPutToken }

// Kind returns [KindDeleteToken].
func (*DeleteToken) Kind() Kind { return KindDeleteToken }

// Kind returns [KindNodeUp].
func (*NodeUp) Kind() Kind { return KindNodeUp }

// Kind returns [KindNodeDown].
func (*NodeDown) Kind() Kind { return KindNodeDown }

// Kind returns [KindRaiseFeatureLevel].
func (*RaiseFeatureLevel) Kind() Kind { return KindRaiseFeatureLevel }

// Kind returns [KindTick].
func (*Tick) Kind() Kind { return KindTick }

// Kind returns [KindPutPackage].
func (*PutPackage) Kind() Kind { return KindPutPackage }

// Kind returns [KindDeletePackage].
func (*DeletePackage) Kind() Kind { return KindDeletePackage }

// Kind returns [KindBuyPackage].
func (*BuyPackage) Kind() Kind { return KindBuyPackage }
