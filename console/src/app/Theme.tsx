import { EllipsisOutlined, SearchOutlined } from '@ant-design/icons'
import { ConfigProvider, theme as antTheme, type ThemeConfig } from 'antd'
import zhCN from 'antd/locale/zh_CN'
import { createContext, useContext, useEffect, useMemo, useSyncExternalStore, type ReactNode } from 'react'
import { texts } from '@/ui/messages'
import { useMessages } from './i18n'
import { styleNonce } from './nonce'
import { usePreferences } from './preferences'

/** Whether the system wants something, now and when that changes. */
function wish(query: string) {
  const media = typeof matchMedia === 'function' ? matchMedia(query) : undefined
  const subscribe = (listener: () => void) => {
    media?.addEventListener('change', listener)
    return () => media?.removeEventListener('change', listener)
  }
  const now = () => media?.matches ?? false
  return function useWish() {
    return useSyncExternalStore(subscribe, now)
  }
}
const useSystemDark = wish('(prefers-color-scheme: dark)')
const useStillness = wish('(prefers-reduced-motion: reduce)')

const DarkContext = createContext(false)
/** Whether dark is shown: for what draws by itself, such as charts. */
export const useDark = () => useContext(DarkContext)

const font =
  "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
const mono = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

function config(dark: boolean, still: boolean): ThemeConfig {
  return {
    algorithm: dark ? antTheme.darkAlgorithm : antTheme.defaultAlgorithm,
    // The components' styles are a sheet that is made with the build; here only the variables in it are set.
    zeroRuntime: true,
    hashed: false,
    token: {
      colorPrimary: dark ? '#5b8cff' : '#1f5eff',
      // Text on white and on the dark container has at least 4.5 : 1.
      colorSuccess: dark ? '#4fbf7f' : '#15803d',
      colorWarning: dark ? '#e0a73a' : '#a15c00',
      colorError: dark ? '#ff7a75' : '#c81e1e',
      colorLink: dark ? '#7ea6ff' : '#1a52e0',
      colorTextDescription: dark ? 'rgba(255,255,255,0.65)' : 'rgba(0,0,0,0.62)',
      colorTextPlaceholder: dark ? 'rgba(255,255,255,0.5)' : 'rgba(0,0,0,0.56)',
      // The library mixes these from the colours above, which in the light are so dark that the mixture is mud.
      ...(!dark && {
        colorSuccessBg: '#eefaf2',
        colorSuccessBorder: '#a9d9ba',
        colorWarningBg: '#fff6e5',
        colorWarningBorder: '#f0cf94',
        colorErrorBg: '#fff1f0',
        colorErrorBorder: '#f3b3ae',
        colorInfoBg: '#eef3ff',
        colorInfoBorder: '#b5c9fb',
      }),
      colorBgLayout: dark ? '#0f1115' : '#f5f6f8',
      colorBgContainer: dark ? '#171a20' : '#ffffff',
      colorBgElevated: dark ? '#1f232b' : '#ffffff',
      borderRadius: 6,
      fontSize: 14,
      fontFamily: font,
      fontFamilyCode: mono,
      // The sheet takes all movement away then; a component that waits for the end of one would stay as it was, such as a button that is busy.
      motion: !still,
      motionDurationMid: '0.12s',
      motionDurationSlow: '0.16s',
    },
    components: {
      // In the dark the accent is too dark for words on it.
      Button: dark ? { colorPrimary: '#3f6fe0' } : {},
      Descriptions: { labelColor: dark ? 'rgba(255,255,255,0.65)' : 'rgba(0,0,0,0.62)' },
    },
  }
}

/** Colours for our own style sheet, as custom properties of the root. */
function Properties({ dark }: { dark: boolean }) {
  const { token } = antTheme.useToken()
  useEffect(() => {
    const root = document.documentElement
    root.style.colorScheme = dark ? 'dark' : 'light'
    const set = (name: string, value: string) => root.style.setProperty(`--g-${name}`, value)
    set('layout', token.colorBgLayout)
    set('container', token.colorBgContainer)
    set('border', token.colorBorderSecondary)
    set('text', token.colorText)
    set('text-secondary', token.colorTextDescription)
    set('accent', token.colorPrimary)
    set('link', token.colorLink)
    set('good', token.colorSuccess)
    set('warn', token.colorWarning)
    set('bad', token.colorError)
    set('hover', token.colorFillTertiary)
    set('fill', token.colorFillQuaternary)
    set('selected', token.colorPrimaryBg)
    set('selected-text', dark ? '#a9c4ff' : token.colorLink)
    set('mono', mono)
    set('font', font)
  }, [token, dark])
  return null
}

export function Theme({ children }: { children: ReactNode }) {
  const { theme, language } = usePreferences()
  const systemDark = useSystemDark()
  const still = useStillness()
  const dark = theme === 'dark' || (theme === 'system' && systemDark)
  const nonce = useMemo(styleNonce, [])
  const t = useMessages(texts)
  useEffect(() => {
    document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  }, [language])
  return (
    <ConfigProvider
      theme={config(dark, still)}
      locale={language === 'zh' ? zhCN : undefined}
      csp={nonce ? { nonce } : undefined}
      // Buttons of the library that have nothing but a sign.
      inputSearch={{ searchIcon: <SearchOutlined aria-label={t.search} /> }}
      tabs={{ more: { icon: <EllipsisOutlined aria-label={t.more} /> } }}
    >
      <DarkContext value={dark}>
        <Properties dark={dark} />
        {children}
      </DarkContext>
    </ConfigProvider>
  )
}
