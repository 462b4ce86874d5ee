package tokenpin

// IDs says whether and which ids are looked at in the requests and responses of an API.
type IDs uint8

const (
	// None.
	IDsNone IDs = 0
	// Sealed ids in requests are opened. Nothing in responses is sealed.
	IDsOpen IDs = 1
	// Requests are opened and responses sealed.
	IDsBoth IDs = 2
	// The same, with the ids of items and with encrypted content: Responses and Conversations.
	IDsItems IDs = 3
)

var iDsNames = []string{"none", "open", "both", "items"}

func (i IDs) String() string { return name(iDsNames, uint8(i)) }
func (i IDs) valid() bool    { return known(iDsNames, uint8(i)) }

type IDVerdict uint8

const (
	IDVerdictNone           IDVerdict = 0
	IDVerdictPlain          IDVerdict = 1
	IDVerdictSealed         IDVerdict = 2
	IDVerdictConflict       IDVerdict = 3
	IDVerdictUnknownVersion IDVerdict = 4
	IDVerdictUnknownKey     IDVerdict = 5
	IDVerdictBadSeal        IDVerdict = 6
)

var idVerdictNames = []string{"none", "plain", "sealed", "conflict", "unknown_version", "unknown_key", "bad_seal"}

func (i IDVerdict) String() string { return name(idVerdictNames, uint8(i)) }
func (i IDVerdict) valid() bool    { return known(idVerdictNames, uint8(i)) }

type KeyKind uint8

const (
	KeyKindPath         KeyKind = 0
	KeyKindQuery        KeyKind = 1
	KeyKindOwn          KeyKind = 2
	KeyKindID           KeyKind = 3
	KeyKindIDs          KeyKind = 4
	KeyKindNamed        KeyKind = 5
	KeyKindHolder       KeyKind = 6
	KeyKindEncrypted    KeyKind = 7
	KeyKindURL          KeyKind = 8
	KeyKindOpaque       KeyKind = 9
	KeyKindOpaqueObject KeyKind = 10
	KeyKindVariables    KeyKind = 11
	KeyKindItems        KeyKind = 12
)

func (k KeyKind) valid() bool { return k <= KeyKindItems }

type IDMode uint8

const (
	IDModeOff    IDMode = 0
	IDModeOpen   IDMode = 1
	IDModeSeal   IDMode = 2
	IDModeStrict IDMode = 3
)

var modeNames = []string{"off", "open", "seal", "strict"}

func (i IDMode) String() string { return name(modeNames, uint8(i)) }
func (i IDMode) valid() bool    { return known(modeNames, uint8(i)) }

type IDOwner uint8

const (
	IDOwnerNone     IDOwner = 0
	IDOwnerConsumer IDOwner = 1
)

func (i IDOwner) valid() bool { return i <= IDOwnerConsumer }

type ForeignSeals uint8

const (
	ForeignSealsAuto   ForeignSeals = 0
	ForeignSealsRefuse ForeignSeals = 1
	ForeignSealsPlain  ForeignSeals = 2
)

func (i ForeignSeals) valid() bool { return i <= ForeignSealsPlain }

type Framing uint8

const (
	FramingJSON   Framing = 0
	FramingEvents Framing = 1
)

func (f Framing) valid() bool { return f <= FramingEvents }

type Refusal uint8

const (
	RefusalNone                     Refusal = 0
	RefusalNoAccountAvailable       Refusal = 1
	RefusalBadAffinityKey           Refusal = 2
	RefusalSessionUnavailable       Refusal = 3
	RefusalPreviousResponseNotFound Refusal = 4
	RefusalInvalidEncryptedContent  Refusal = 5
	RefusalNotFound                 Refusal = 6
	RefusalConflictingAccounts      Refusal = 7
	RefusalUnreadableBody           Refusal = 8
)

var refusalNames = []string{"none", "no_account_available", "bad_affinity_key", "session_unavailable",
	"previous_response_not_found", "invalid_encrypted_content", "not_found", "conflicting_accounts", "unreadable_body"}

func (r Refusal) String() string { return name(refusalNames, uint8(r)) }

const ErrID Status = 12

const (
	FieldIDMode       Field = 29
	FieldIDOwner      Field = 30
	FieldForeignSeals Field = 31
)
