import { DesktopOutlined, MoonOutlined, SunOutlined } from '@ant-design/icons'
import { Segmented } from 'antd'
import { useMessages } from './i18n'
import { texts } from './messages'
import { setPreferences, usePreferences, type Language, type ThemeChoice } from './preferences'

export function LanguageSwitch() {
  const { language } = usePreferences()
  return (
    <Segmented<Language>
      size="small"
      aria-label="Language / 语言"
      value={language}
      onChange={(next) => setPreferences({ language: next })}
      options={[
        { value: 'en', label: 'English' },
        { value: 'zh', label: '中文' },
      ]}
    />
  )
}

export function ThemeSwitch() {
  const { theme } = usePreferences()
  const t = useMessages(texts).theme
  return (
    <Segmented<ThemeChoice>
      size="small"
      aria-label={t.label}
      value={theme}
      onChange={(next) => setPreferences({ theme: next })}
      options={[
        { value: 'light', icon: <SunOutlined aria-label={t.light} />, title: t.light },
        { value: 'dark', icon: <MoonOutlined aria-label={t.dark} />, title: t.dark },
        { value: 'system', icon: <DesktopOutlined aria-label={t.system} />, title: t.system },
      ]}
    />
  )
}
