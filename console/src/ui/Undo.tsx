import { App, Button } from 'antd'
import { useMessages } from '@/app/i18n'
import { Failure } from './Failure'
import { texts } from './messages'

const seconds = 10

/** Says what was done, with a button for ten seconds that does the opposite. */
export function useUndo() {
  const { notification, message } = App.useApp()
  const t = useMessages(texts).undo
  return (done: string, opposite: () => Promise<void>) => {
    const key = `undo-${crypto.getRandomValues(new Uint32Array(1))[0]}`
    const undo = async () => {
      notification.destroy(key)
      try {
        await opposite()
        void message.success(t.undone)
      } catch (error) {
        notification.error({ title: t.failed, description: <Failure error={error} compact />, duration: 0 })
      }
    }
    notification.success({
      key,
      title: done,
      duration: seconds,
      showProgress: true,
      pauseOnHover: true,
      placement: 'bottomRight',
      actions: (
        <Button size="small" onClick={() => void undo()}>
          {t.undo}
        </Button>
      ),
    })
  }
}
