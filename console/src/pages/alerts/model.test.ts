import { create } from '@bufbuild/protobuf'
import { timestampFromDate } from '@bufbuild/protobuf/wkt'
import { expect, test } from 'vitest'
import {
  AlertChangeSchema,
  AlertRuleSchema,
  AlertSchema,
  AlertState,
  AlertTransitionSchema,
  type Alert,
} from '@/api/gen/gantry/v1/alert_pb'
import { countStates, filterAlerts, groupAlerts, joinChanges, subjectOf, lanesOf, ownLabels } from './model'

const at = (text: string) => new Date(`2026-11-26T${text}:00Z`)
const stamp = (text: string) => timestampFromDate(at(text))

const alert = (
  id: string,
  state: AlertState,
  labels: Record<string, string>,
  more: Partial<Pick<Alert, 'firedAt' | 'activeAt' | 'silencedBy'>> = {},
) => create(AlertSchema, { id, state, labels, ...more })

const rules = [
  create(AlertRuleSchema, {
    kind: 'Alert',
    name: 'slow',
    alerts: [
      alert('a', AlertState.FIRING, { service: 'loan', severity: 'warning' }, { firedAt: stamp('10:00') }),
      alert('b', AlertState.PENDING, { service: 'risk', severity: 'warning' }, { activeAt: stamp('11:00') }),
      alert('c', AlertState.RESOLVED, { service: 'fund', severity: 'warning' }),
    ],
  }),
  create(AlertRuleSchema, {
    kind: 'Alert',
    name: 'errors',
    failing: 'no',
    alerts: [
      alert(
        'd',
        AlertState.FIRING,
        { service: 'loan', severity: 'critical' },
        { firedAt: stamp('09:00'), silencedBy: ['x'] },
      ),
      alert('e', AlertState.FIRING, { service: 'risk', severity: 'critical' }, { firedAt: stamp('09:00') }),
    ],
  }),
]
const ids = (filter: { state?: string; severity?: string; text?: string }) =>
  filterAlerts(rules, { state: '', severity: '', text: '', ...filter }).map((one) => one.alert.id)

test('the worst are first, what is silenced behind what is not', () => expect(ids({})).toEqual(['e', 'a', 'd', 'b']))

test('filters', () => {
  expect(ids({ state: 'resolved' })).toEqual(['c'])
  expect(ids({ severity: 'warning' })).toEqual(['a', 'b'])
  expect(ids({ text: 'service=RISK' })).toEqual(['e', 'b'])
})

test('groups', () => {
  const alerts = filterAlerts(rules, { state: '', severity: '', text: '' })
  expect(groupAlerts(alerts, 'rule').map((g) => [g.name, g.alerts.length])).toEqual([
    ['errors', 2],
    ['slow', 2],
  ])
  expect(groupAlerts(alerts, 'service').map((g) => g.name)).toEqual(['risk', 'loan'])
})

test('counts', () =>
  expect(countStates(rules)).toEqual({ firing: 3, pending: 1, resolved: 1, silenced: 1, failing: 1 }))

test('labels without what is told elsewhere, the service first', () =>
  expect(ownLabels({ alertname: 'x', namespace: 'n', severity: 's', code: 'E1', service: 'loan' })).toEqual([
    ['service', 'loan'],
    ['code', 'E1'],
  ]))

const moved = (time: string, from: AlertState, to: AlertState, service = 'loan') =>
  create(AlertTransitionSchema, {
    at: stamp(time),
    kind: 'Alert',
    name: 'slow',
    what: 'state',
    from,
    to,
    labels: { service },
  })

test('lanes of a time', () => {
  const { INACTIVE, PENDING, FIRING, RESOLVED } = AlertState
  const span = { since: at('08:00'), until: at('12:00') }
  const newestFirst = [
    moved('11:00', PENDING, FIRING),
    moved('10:30', INACTIVE, PENDING),
    moved('09:00', FIRING, RESOLVED),
    create(AlertTransitionSchema, { at: stamp('08:30'), kind: 'Receiver', name: 'x', what: 'notification' }),
  ]
  const lanes = lanesOf(newestFirst, [], span, at('23:00'))
  expect(lanes).toHaveLength(1)
  expect(lanes[0]!.bars).toEqual([
    { state: 'firing', from: at('08:00'), until: at('09:00'), open: false },
    { state: 'pending', from: at('10:30'), until: at('11:00'), open: false },
    { state: 'firing', from: at('11:00'), until: at('12:00'), open: true },
  ])
})

test('what has fired all the time has a lane without a transition', () => {
  const span = { since: at('09:30'), until: at('10:30') }
  expect(lanesOf([], rules, span, at('23:00')).map((lane) => [lane.rule, lane.labels['service'], lane.bars])).toEqual([
    ['errors', 'loan', [{ state: 'firing', from: at('09:30'), until: at('10:30'), open: true }]],
    ['errors', 'risk', [{ state: 'firing', from: at('09:30'), until: at('10:30'), open: true }]],
    ['slow', 'loan', [{ state: 'firing', from: at('10:00'), until: at('10:30'), open: true }]],
  ])
})

test('registrations of a service are one line, releases one each', () => {
  const change = (kind: string, service = '') => create(AlertChangeSchema, { kind, service })
  const joined = joinChanges([
    change('registered', 'loan'),
    change('registered', 'loan'),
    change('registered', 'risk'),
    change('released'),
    change('released'),
  ])
  expect(joined.map(({ change, times }) => [change.service, times])).toEqual([
    ['loan', 2],
    ['risk', 1],
    ['', 1],
    ['', 1],
  ])
})

test('a change leads to what was changed', () => {
  const document = { service: '', target: 'Config/loan.yaml', summary: 'Config/loan.yaml: faster: version 3' }
  expect(subjectOf('default', document)).toEqual({
    name: 'Config/loan.yaml',
    path: '/default/documents/Config/loan.yaml',
    rest: 'faster: version 3',
  })
  const instance = { service: 'loan', target: 'blue/loan/loan-3', summary: 'status up: blue/loan/loan-3' }
  expect(subjectOf('default', instance)).toEqual({
    name: 'loan/loan-3',
    path: '/default/services/loan/instances/loan-3?group=blue',
    rest: 'status up',
  })
  expect(subjectOf('default', instance, 3)).toEqual({
    name: 'loan',
    path: '/default/services/loan?group=blue',
    rest: '',
  })
  // What was kept before changes had a target.
  expect(subjectOf('default', { service: '', target: '', summary: 'Config/a: version 1' })).toEqual({
    name: '',
    path: '',
    rest: 'Config/a: version 1',
  })
})
