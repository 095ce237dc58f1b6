import { messages, plural } from '@/app/i18n'

export const texts = messages(
  {
    act: { drain: 'Drain', up: 'Up', down: 'Down', weight: 'Weight', reset: 'Reset' },
    menu: { drain: 'Drain…', up: 'Set up…', down: 'Set down…', weight: 'Set weight…', reset: 'Reset…' },
    actions: (of: string) => `Actions for ${of}`,
    needs: (role: string, namespace: string) => `Needs the role ${role} in ${namespace}`,
    noOverride: 'Nothing is set over what it says of itself',
    title: {
      drain: (of: string) => `Drain ${of}`,
      up: (of: string) => `Set ${of} up`,
      down: (of: string) => `Set ${of} down`,
      weight: (of: string) => `Set the weight of ${of}`,
      reset: (of: string) => `Reset ${of}`,
    },
    many: (count: number, service: string) => `${plural(count, 'instance')} of ${service}`,
    what: {
      drain:
        'It finishes the calls that it has and gets no new ones. Every caller that holds the service is told and acknowledges. It stays draining until it is reset or set up, even when it restarts under the same id.',
      away: 'It finishes the calls that it has and gets no new ones. Every caller that holds the service is told and acknowledges; then it is removed. What registers under this id again takes traffic.',
      up: 'It takes traffic, whatever it says of itself, as long as it is healthy.',
      down: 'It takes no traffic from this moment. Nobody is waited for: calls that are on their way to it may fail. To take it out gently, drain it.',
      weight: 'Its share of traffic against its siblings. 0 gives it none; 1 is the default.',
      reset:
        'What was set by an operator, status and weight, is taken off: what the instance says of itself holds again.',
    },
    effect: (now: number, then: number, all: number) =>
      now === then
        ? `${then} of ${plural(all, 'instance takes', 'instances take')} traffic, as now.`
        : `${then} of ${plural(all, 'instance takes', 'instances take')} traffic afterwards; now it is ${now}.`,
    nobody: (service: string) => `No instance of ${service} takes traffic afterwards: every call to it fails.`,
    wait: 'Wait for callers, at most',
    seconds: 's',
    deregister: 'Remove it from the registry afterwards',
    deregisterText: 'It comes back when it registers again.',
    weight: 'Weight',
    why: 'Why',
    whyText: 'For the history and the audit log',
    typed: (service: string) => `Type ${service} to confirm`,
    running: (seconds: string) => `Telling the callers, and waiting for them at most ${seconds}…`,
    working: 'Working…',
    progress: (done: number, all: number) => `${done} of ${all}`,
    acknowledged: (acknowledged: number, subscribers: number) =>
      subscribers === 0
        ? 'nobody subscribes to it'
        : `${acknowledged} of ${plural(subscribers, 'caller')} acknowledged`,
    late: 'The others may still send calls: they learn of it as soon as they can be reached.',
    notBegun: 'not begun',
    stopped: 'draining; its callers were not waited for',
    stop: 'Stop waiting',
    undo: 'Undo',
    close: 'Close',
    done: {
      drain: (of: string) => `${of} drained`,
      away: (of: string) => `${of} drained and removed`,
      up: (of: string) => `${of} set up`,
      down: (of: string) => `${of} set down`,
      weight: (of: string) => `Weight of ${of} set`,
      reset: (of: string) => `${of} reset`,
    },
    failed: (count: number) => `${plural(count, 'instance')} failed`,
    changedSince: (ids: string) => `Left as they are, since something else was set or they are gone: ${ids}`,
    undoMessage: (act: string) => `Undo of: ${act}`,
  },
  {
    act: { drain: '排空', up: '上线', down: '下线', weight: '权重', reset: '重置' },
    menu: { drain: '排空…', up: '设为上线…', down: '设为下线…', weight: '设置权重…', reset: '重置…' },
    actions: (of) => `${of} 的操作`,
    needs: (role, namespace) => `需要 ${namespace} 中的 ${role} 角色`,
    noOverride: '没有覆盖实例自身的状态',
    title: {
      drain: (of) => `排空 ${of}`,
      up: (of) => `将 ${of} 设为上线`,
      down: (of) => `将 ${of} 设为下线`,
      weight: (of) => `设置 ${of} 的权重`,
      reset: (of) => `重置 ${of}`,
    },
    many: (count, service) => `${service} 的 ${count} 个实例`,
    what: {
      drain:
        '它会处理完已有的调用，不再接收新的调用。持有该服务的每个调用方都会收到通知并确认。在重置或设为上线之前一直保持排空，即使以相同 ID 重启也是如此。',
      away: '它会完成已有的调用，不再接收新的调用。持有该服务的调用方都会收到通知并确认；之后它将被移除。以此 ID 重新注册的实例会正常接收流量。',
      up: '只要健康，它就接收流量，无论它自己怎么说。',
      down: '从此刻起它不再接收流量。不等待任何人：正在途中的调用可能失败。若要平稳下线，请使用排空。',
      weight: '相对于同服务其他实例的流量份额。0 表示没有流量；默认为 1。',
      reset: '取消操作员设置的状态和权重：实例自身的状态重新生效。',
    },
    effect: (now, then, all) =>
      now === then
        ? `${all} 个实例中有 ${then} 个接收流量，与现在相同。`
        : `之后 ${all} 个实例中有 ${then} 个接收流量；现在是 ${now} 个。`,
    nobody: (service) => `之后 ${service} 没有任何实例接收流量：对它的所有调用都会失败。`,
    wait: '等待调用方，最多',
    seconds: '秒',
    deregister: '之后从注册中心移除',
    deregisterText: '重新注册后会再次出现。',
    weight: '权重',
    why: '原因',
    whyText: '记入历史和审计日志',
    typed: (service) => `输入 ${service} 以确认`,
    running: (seconds) => `正在通知调用方，最多等待 ${seconds}…`,
    working: '正在执行…',
    progress: (done, all) => `${done} / ${all}`,
    acknowledged: (acknowledged, subscribers) =>
      subscribers === 0 ? '没有调用方订阅' : `${subscribers} 个调用方中有 ${acknowledged} 个已确认`,
    late: '其余调用方可能仍会发送调用：一旦可达便会得知。',
    notBegun: '未开始',
    stopped: '排空中；未等待调用方确认',
    stop: '停止等待',
    undo: '撤销',
    close: '关闭',
    done: {
      drain: (of) => `已排空 ${of}`,
      away: (of) => `已排空并移除 ${of}`,
      up: (of) => `已将 ${of} 设为上线`,
      down: (of) => `已将 ${of} 设为下线`,
      weight: (of) => `已设置 ${of} 的权重`,
      reset: (of) => `已重置 ${of}`,
    },
    failed: (count) => `${count} 个实例失败`,
    changedSince: (ids) => `以下实例保持不变，因为之后又被设置或已消失：${ids}`,
    undoMessage: (act) => `撤销：${act}`,
  },
)
