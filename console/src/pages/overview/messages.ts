import { messages, plural } from '@/app/i18n'

export const texts = messages(
  {
    title: 'Overview',
    services: 'Services',
    instances: 'Instances',
    rate: 'Requests',
    errors: 'Errors',
    p99: 'p99',
    allWell: 'all take traffic',
    notWell: (degraded: number, unavailable: number) =>
      [degraded && `${degraded} degraded`, unavailable && `${unavailable} unavailable`].filter(Boolean).join(', '),
    noServices: 'none registered',
    noServicesYet: 'No services yet',
    noServicesText: 'A service shows up here as soon as its first instance registers.',
    instanceStates: (parts: { up: number; starting: number; draining: number; lost: number; down: number }) =>
      [
        `${parts.up} up`,
        parts.starting && `${parts.starting} starting`,
        parts.draining && `${parts.draining} draining`,
        parts.lost && `${parts.lost} lost`,
        parts.down && `${parts.down} down`,
      ]
        .filter(Boolean)
        .join(', '),
    lastHour: 'of all services, last hour',
    firing: 'Firing',
    nothingFires: 'Nothing fires',
    nothingFiresText: (rules: number) =>
      rules === 0
        ? 'No alert rule is in force: documents of kind Alert or Objective make some.'
        : `${plural(rules, 'rule')} in force.`,
    broken: (rules: number) => `${plural(rules, 'rule')} cannot be evaluated`,
    undelivered: (count: number) => `${plural(count, 'channel')} could not be told`,
    silenced: 'silenced',
    changed: 'Changed in the last hour',
    nothingChanged: 'Nothing was changed in the last hour',
    nothingChangedText: 'Releases, registrations, drains and statuses show up here as they happen.',
    more: (count: number) => `${count.toLocaleString('en')} more`,
    times: (count: number) => `${count.toLocaleString('en')} times`,
    by: (actor: string) => `by ${actor}`,
    traffic: 'Requests a second',
    failed: 'failed',
    refused: 'refused',
    success: 'success',
    durations: 'Durations',
    attention: 'Services that need a look',
    attentionNone: 'Every service takes traffic with all its instances, and none fails more than 1% of its calls.',
    service: 'Service',
    state: 'State',
    recent: 'last 5 minutes',
  },
  {
    title: '总览',
    services: '服务',
    instances: '实例',
    rate: '请求',
    errors: '错误率',
    p99: 'p99',
    allWell: '全部可用',
    notWell: (degraded, unavailable) =>
      [degraded && `${degraded} 个部分可用`, unavailable && `${unavailable} 个不可用`].filter(Boolean).join('，'),
    noServices: '尚无注册',
    noServicesYet: '还没有服务',
    noServicesText: '第一个实例注册后，服务就会出现在这里。',
    instanceStates: (parts) =>
      [
        `${parts.up} 正常`,
        parts.starting && `${parts.starting} 启动中`,
        parts.draining && `${parts.draining} 排空中`,
        parts.lost && `${parts.lost} 失联`,
        parts.down && `${parts.down} 下线`,
      ]
        .filter(Boolean)
        .join('，'),
    lastHour: '所有服务，最近一小时',
    firing: '告警中',
    nothingFires: '没有告警',
    nothingFiresText: (rules) =>
      rules === 0 ? '没有生效的告警规则：发布 Alert 或 Objective 类文档即可创建。' : `${rules} 条规则生效中。`,
    broken: (rules) => `${rules} 条规则无法计算`,
    undelivered: (count) => `${count} 个通知渠道发送失败`,
    silenced: '已静默',
    changed: '最近一小时的变更',
    nothingChanged: '最近一小时没有变更',
    nothingChangedText: '发布、注册、排空和状态变更会实时显示在这里。',
    more: (count) => `还有 ${count} 条`,
    times: (count) => `${count} 次`,
    by: (actor) => `操作者 ${actor}`,
    traffic: '每秒请求数',
    failed: '失败',
    refused: '业务拒绝',
    success: '成功',
    durations: '耗时',
    attention: '需要关注的服务',
    attentionNone: '所有服务的全部实例均可用，且错误率均不超过 1%。',
    service: '服务',
    state: '状态',
    recent: '最近 5 分钟',
  },
)
