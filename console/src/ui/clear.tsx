import { CloseCircleFilled } from '@ant-design/icons'
import { useMessages } from '@/app/i18n'
import { texts } from './messages'

function Clear() {
  return <CloseCircleFilled aria-label={useMessages(texts).clear} />
}

/** For `allowClear` of an input: its button has nothing but the sign, which therefore says what it does. */
export const clear = { clearIcon: <Clear /> }
