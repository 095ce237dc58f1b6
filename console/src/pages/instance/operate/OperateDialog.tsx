import { Alert, App, Button, Checkbox, Form, Input, InputNumber, Modal } from 'antd'
import { durationFromMs } from '@bufbuild/protobuf/wkt'
import { useEffect, useMemo, useRef, useState } from 'react'
import type { DrainResponse, Instance } from '@/api/gen/gantry/v1/instance_pb'
import { instances as api } from '@/api/clients/instances'
import { useMessages } from '@/app/i18n'
import { allInstances } from '@/api/paged'
import { ByCommand } from '@/ui/ByCommand'
import { Failure } from '@/ui/Failure'
import { seconds } from '@/ui/format'
import { texts as shared } from '@/ui/messages'
import { useUndo } from '@/ui/Undo'
import { texts } from './messages'
import { after, effect, halvesOf, sameAs, undoOf, weightOf, type Act } from './override'
import { each, type Outcome } from './pool'
import { Progress } from './Progress'

/** Drains wait for callers, so that some can wait at the same time; more would be a storm. */
const atOnce = 8

export interface Asked {
  act: Act
  targets: readonly Instance[]
}

export interface Whole {
  namespace: string
  group: string
  service: string
  /** All of the service, to say what is left. */
  all: readonly Instance[]
}

/** A drain answers who acknowledged; `stopped` drains, and nobody waited for its callers. */
export type Answered = Outcome<DrainResponse | 'stopped' | undefined>

/** Says what an act will do, does it with progress, and offers to undo it. */
export function OperateDialog({ asked, whole, onClose }: { asked: Asked; whole: Whole; onClose: () => void }) {
  const { act, targets } = asked
  const t = useMessages(texts)
  const common = useMessages(shared).confirm
  const undone = useMessages(shared).undo
  const undo = useUndo()
  const { message, notification } = App.useApp()
  // Null while a box is empty: nothing is done then.
  const [waitTyped, setWait] = useState<number | null>(10)
  const [weightTyped, setWeight] = useState<number | null>(() => weightOf(targets[0]!))
  const wait = waitTyped ?? 10
  const weight = weightTyped ?? 1
  const incomplete = (act === 'weight' && weightTyped === null) || (act === 'drain' && waitTyped === null)
  const [deregister, setDeregister] = useState(false)
  const [why, setWhy] = useState('')
  const [typed, setTyped] = useState('')
  const [outcomes, setOutcomes] = useState<Answered[]>()
  const [finished, setFinished] = useState(false)
  const stop = useRef(new AbortController())
  const closed = useRef(false)
  useEffect(() => {
    closed.current = false
    return () => void (closed.current = true)
  }, [])

  const ref = { namespace: whole.namespace, group: whole.group, service: whole.service }
  const of = targets.length === 1 ? targets[0]!.id : t.many(targets.length, whole.service)
  const chosen = useMemo(() => new Set(targets.map((target) => target.id)), [targets])
  const result = useMemo(() => effect(whole.all, chosen, act, weight), [whole.all, chosen, act, weight])
  const nobody = result.before > 0 && result.after === 0
  const away = act === 'drain' && deregister
  const undoable = !away
  // What cannot be undone, or takes a whole service down, wants more than a click.
  const wanted = nobody || !undoable ? whole.service : undefined
  const blocked = incomplete || (wanted !== undefined && typed !== wanted)

  const opposite = (begun: readonly Instance[], failed: ReadonlySet<string>) => async () => {
    const now = await allInstances(whole.namespace, new AbortController().signal, whole.service, whole.group)
    const { back, left } = undoOf(begun, now, act, weight)
    const answers = await each(
      back,
      atOnce,
      (target) =>
        api.setOverride({ service: ref, id: target.id, ...halvesOf(target), message: t.undoMessage(t.title[act](of)) }),
      () => {},
      new AbortController().signal,
    )
    const broken = answers.find((outcome) => outcome.state === 'failed')
    if (broken?.state === 'failed') throw broken.error
    const others = left.filter((target) => !failed.has(target.id))
    if (others.length > 0) throw new Error(t.changedSince(others.map((target) => target.id).join(', ')))
  }
  const run = async () => {
    setFinished(false)
    setOutcomes(targets.map(() => ({ state: 'waiting' })))
    const signal = stop.current.signal
    const answers = await each<Instance, DrainResponse | 'stopped' | undefined>(
      targets,
      atOnce,
      async (target) => {
        if (act === 'drain') {
          const request = { service: ref, id: target.id, wait: durationFromMs(wait * 1000), deregister, message: why }
          try {
            return await api.drain(request, { signal })
          } catch (error) {
            if (signal.aborted) return 'stopped'
            throw error
          }
        }
        await api.setOverride({ service: ref, id: target.id, ...after(target, act, weight), message: why })
        return undefined
      },
      (index, outcome) => setOutcomes((old) => old?.map((o, i) => (i === index ? outcome : o))),
      signal,
    )
    const begun = targets.filter((_, i) => answers[i]!.state !== 'waiting')
    const clean = answers.every((answer) => answer.state === 'done' && !late(answer))
    setFinished(true)
    if (closed.current || clean) {
      const told = `${t.done[away ? 'away' : act](of)}${summary(answers)}`
      if (undoable) undo(told, opposite(begun, failedOf(answers)))
      else void message.success(told)
      onClose()
    }
  }
  const failedOf = (answers: readonly Answered[]) =>
    new Set(targets.filter((_, i) => answers[i]?.state === 'failed').map((target) => target.id))
  const summary = (answers: readonly Answered[]) => {
    if (act !== 'drain' || answers.length !== 1 || answers[0]!.state !== 'done') return ''
    const { answer } = answers[0]!
    if (!answer || answer === 'stopped') return ''
    return `: ${t.acknowledged(answer.acknowledged, answer.subscribers)}`
  }
  const running = outcomes !== undefined && !finished
  const begun = outcomes ? targets.filter((_, i) => outcomes[i]!.state !== 'waiting') : []
  const footer = !outcomes
    ? undefined
    : running
      ? act === 'drain' && (
          <Button disabled={stop.current.signal.aborted} onClick={() => stop.current.abort()}>
            {t.stop}
          </Button>
        )
      : [
          undoable && begun.length > 0 && (
            <Button key="undo" onClick={() => void undoNow()}>
              {t.undo}
            </Button>
          ),
          <Button key="close" type="primary" onClick={onClose}>
            {t.close}
          </Button>,
        ]
  const undoNow = async () => {
    onClose()
    try {
      await opposite(begun, failedOf(outcomes ?? []))()
      void message.success(undone.undone)
    } catch (error) {
      notification.error({ title: undone.failed, description: <Failure error={error} compact />, duration: 0 })
    }
  }
  return (
    <Modal
      open
      title={t.title[act](of)}
      width={520}
      closable={!running}
      mask={{ closable: !running && !outcomes }}
      keyboard={!running}
      onCancel={onClose}
      onOk={() => void run()}
      okText={t.act[act]}
      cancelText={common.cancel}
      okButtonProps={{ danger: !undoable || nobody, disabled: blocked }}
      {...(footer === undefined ? {} : { footer })}
    >
      {outcomes ? (
        <Progress
          act={act}
          wait={seconds(wait)}
          targets={targets}
          outcomes={outcomes}
          running={running}
          late={outcomes.some(late)}
        />
      ) : (
        <Form layout="vertical" requiredMark={false} className="g-operate" onFinish={() => !blocked && void run()}>
          <p>{t.what[away ? 'away' : act]}</p>
          {targets.length > 1 && (
            <p className="g-secondary g-break g-operate-ids">{targets.map((target) => target.id).join(', ')}</p>
          )}
          {act === 'weight' && (
            <Form.Item label={t.weight}>
              <InputNumber
                autoFocus
                min={0}
                max={10000}
                step={0.5}
                value={weightTyped}
                aria-label={t.weight}
                onChange={setWeight}
              />
            </Form.Item>
          )}
          {act === 'drain' && (
            <>
              <Form.Item label={t.wait}>
                <InputNumber
                  min={1}
                  max={300}
                  precision={0}
                  value={waitTyped}
                  suffix={t.seconds}
                  aria-label={t.wait}
                  onChange={setWait}
                />
              </Form.Item>
              <Form.Item>
                <Checkbox checked={deregister} onChange={(event) => setDeregister(event.target.checked)}>
                  {t.deregister} <span className="g-secondary">{t.deregisterText}</span>
                </Checkbox>
              </Form.Item>
            </>
          )}
          {/* Enter in any box does what the button does. */}
          <button type="submit" hidden disabled={blocked} />
          <Form.Item label={t.why}>
            <Input
              maxLength={500}
              value={why}
              aria-label={t.why}
              placeholder={t.whyText}
              onChange={(event) => setWhy(event.target.value)}
            />
          </Form.Item>
          <Alert
            type={nobody ? 'error' : 'info'}
            showIcon
            title={`${nobody ? t.nobody(whole.service) : t.effect(result.before, result.after, whole.all.length - (away ? targets.length : 0))} ${undoable ? common.undoable : common.final}`}
          />
          <ByCommand same={targets.map((target) => sameAs(ref, target, act, { weight, wait, deregister, why }))} />
          {wanted && (
            <Form.Item label={t.typed(wanted)} className="g-operate-typed">
              <Input
                value={typed}
                autoComplete="off"
                aria-label={t.typed(wanted)}
                onChange={(event) => setTyped(event.target.value)}
              />
            </Form.Item>
          )}
        </Form>
      )}
    </Modal>
  )
}

/** Some callers did not acknowledge within the bound. */
export const late = (outcome: Answered): boolean =>
  outcome.state === 'done' &&
  outcome.answer !== undefined &&
  (outcome.answer === 'stopped' || outcome.answer.acknowledged < outcome.answer.subscribers)
