import './Mark.css'

/** A box that marks a row, or by `some` shows that part of all rows are marked. The browser's own: a table has one in every row. */
export function Mark({
  label,
  checked,
  onChange,
}: {
  label: string
  checked: boolean | 'some'
  onChange: (checked: boolean) => void
}) {
  return (
    <input
      type="checkbox"
      className="g-mark"
      aria-label={label}
      checked={checked === true}
      ref={(box) => {
        if (box) box.indeterminate = checked === 'some'
      }}
      onChange={(event) => onChange(event.target.checked)}
    />
  )
}
