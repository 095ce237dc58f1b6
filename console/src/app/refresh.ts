import type { Query, QueryClient } from '@tanstack/react-query'
import type { Topic } from '@/api/keys'

/**
 * Has the queries of a topic asked again because something moved. An answer that is under way may have been made before that, and is not cut short: under steady
 * change nothing would ever be answered. It is asked for once more when it is there, however much moved meanwhile.
 */
export class Refresh {
  private readonly waiting = new Set<Query>()

  constructor(
    private readonly client: QueryClient,
    private readonly namespace: string,
  ) {}

  moved(topic: Topic) {
    const filters = { queryKey: [topic, this.namespace] }
    const underWay = this.client.getQueryCache().findAll({ ...filters, fetchStatus: 'fetching' })
    void this.client.invalidateQueries(filters, { cancelRefetch: false })
    underWay.forEach((query) => this.askAfter(query))
  }

  /** A tick: figures are old by themselves, and an answer that takes longer than a tick is new enough. */
  tick() {
    void this.client.invalidateQueries({ queryKey: ['figures', this.namespace] }, { cancelRefetch: false })
  }

  private askAfter(query: Query) {
    if (this.waiting.has(query)) return
    this.waiting.add(query)
    const stop = this.client.getQueryCache().subscribe((event) => {
      if (event.query !== query) return
      const removed = event.type === 'removed'
      if (!removed && query.state.fetchStatus === 'fetching') return
      stop()
      this.waiting.delete(query)
      if (!removed)
        void this.client.invalidateQueries({ queryKey: query.queryKey, exact: true }, { cancelRefetch: false })
    })
  }
}
