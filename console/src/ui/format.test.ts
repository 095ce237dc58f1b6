import { describe, expect, test } from 'vitest'
import { bytes, count, rate, seconds, share, utc } from './format'

describe('format', () => {
  test.each([
    [0, '0'],
    [950, '950'],
    [9999, '9,999'],
    [12345, '12.3k'],
    [5_600_000n, '5.6M'],
    [undefined, '–'],
  ])('count %s', (given, wanted) => expect(count(given)).toBe(wanted))

  test.each([
    [0, '0/s'],
    [0.0213, '0.0213/s'],
    [12.345, '12.3/s'],
    [1234.5, '1,235/s'],
    [NaN, '–'],
  ])('rate %s', (given, wanted) => expect(rate(given)).toBe(wanted))

  test.each([
    [0, '0%'],
    [0.00001, '<0.01%'],
    [0.0345, '3.45%'],
    [0.456, '46%'],
    [1, '100%'],
  ])('share %s', (given, wanted) => expect(share(given)).toBe(wanted))

  test.each([
    [0, '0 s'],
    [0.00085, '850 µs'],
    [0.0121, '12.1 ms'],
    [0.9996, '1 s'],
    [1.236, '1.24 s'],
    [59.97, '1m'],
    [200, '3m 20s'],
    [7500, '2h 5m'],
    [3599.9, '1h'],
    [97 * 3600, '4d 1h'],
    [-0.5, '-500 ms'],
    [undefined, '–'],
  ])('seconds %s', (given, wanted) => expect(seconds(given)).toBe(wanted))

  test('bytes', () => {
    expect(bytes(512)).toBe('512 B')
    expect(bytes(1536n)).toBe('1.5 KiB')
    expect(bytes(3 * 2 ** 40)).toBe('3 TiB')
  })

  test('utc', () => expect(utc(new Date(Date.UTC(2026, 10, 26, 5, 3, 2, 7)))).toBe('2026-11-26 05:03:02.007 UTC'))
})
