package alert

import "time"

// Limits. What is beyond them is said: as a rule that cannot be evaluated, in the history, or as a count.
const (
	// MaxAlerts bounds the series of one rule: their record is one value of the state, of at most 1 MiB.
	MaxAlerts = 500
	// maxLabelValue bounds a label of an alert, in bytes; longer ones are shortened.
	maxLabelValue = 512
	// maxTransitions bounds the entries that one evaluation writes into the history: a rule of 500 series that flaps must not push out all others.
	maxTransitions = 50
	// MaxHistory and HistoryAge bound the history of a namespace.
	MaxHistory = 10_000
	HistoryAge = 90 * 24 * time.Hour
	// trimEvery is the time between two looks for what is beyond that.
	trimEvery = 10 * time.Minute
	// silenceKept is how long a silence is kept after its end, where people still look for it: as long as Alertmanager keeps them. maxRetired bounds those that one
	// look takes out of force.
	silenceKept = 5 * 24 * time.Hour
	maxRetired  = 100
	// maxPage bounds an answer of the history.
	maxPage = 1_000

	// resolvedFor is how long an alert is shown after its end; it is told within the group interval, which is added.
	resolvedFor = 15 * time.Minute
	// queryTimeout bounds an evaluation's questions.
	queryTimeout = 20 * time.Second
	// concurrentQueries bounds the evaluations of a node at one moment: alerts must not take the store from people.
	concurrentQueries = 4
	// changesBefore is how far back an alert looks for changes, and maxChanges how many it names.
	changesBefore  = 15 * time.Minute
	maxChanges     = 10
	changesTimeout = 3 * time.Second

	// reconcileEvery is the time between two looks at documents and nodes: both are in memory, and nobody waits for an alert to be in force.
	reconcileEvery = time.Second

	// maxPreview bounds the evaluations of a preview; beyond it the steps are longer.
	maxPreview     = 1_000
	previewTimeout = time.Minute
	maxPreviewSpan = 7 * 24 * time.Hour

	// queueLength and deliverers bound what is being delivered on a node.
	queueLength = 1_000
	deliverers  = 8
	// deliverFor bounds the tries of one delivery, unless the group interval is shorter; the next flush tries again.
	deliverFor = 5 * time.Minute
	// claimFor is how long a node has a notification to itself beyond that, to note that it was delivered.
	claimFor = 30 * time.Second
	// maxGroups bounds the groups of a namespace, for each of which the state and every node hold a note.
	maxGroups = 5_000
	// maxNoted bounds the alerts of one group that are noted as told, in 20 bytes each.
	maxNoted = 10_000
	// maxPerNotification bounds the alerts that a notification lists.
	maxPerNotification = 100
)
