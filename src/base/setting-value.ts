/**
 * @agent any
 *
 * Kinds of values a setting can have: how the text of a flag, a variable or a file becomes a value, and
 * what may stand there, in words. Kept this plain because every start pays for it: a schema library
 * cost 100 ms and 25 MB here.
 */
export interface SettingValue {
  /** Completes the sentence "x is not …". */
  readonly allowed: string;
  /** The value of a text; undefined where it is not allowed. Never throws. */
  readonly parse: (text: string) => unknown;
  /** What the text counts in: seconds for a value in milliseconds have 1000. */
  readonly unit?: number;
}

export const yesOrNo: SettingValue = {
  allowed: 'true or false',
  parse: (text) => {
    const lower = text.trim().toLowerCase();
    return lower === 'true' || (lower === 'false' ? false : undefined);
  },
};

interface Bounds {
  readonly minimum: number;
  readonly maximum: number;
  /** The value is a multiple of this. */
  readonly step?: number;
  /** The text counts in units of this: seconds for a value in milliseconds have 1000. */
  readonly unit?: number;
}

export function integer(allowed: string, bounds: Bounds): SettingValue {
  const { minimum, maximum, step = 1, unit = 1 } = bounds;
  return {
    allowed,
    unit,
    parse: (text) => {
      if (!/^[+-]?\d{1,15}$/.test(text.trim())) return undefined;
      const value = Number(text) * unit;
      return value >= minimum && value <= maximum && value % step === 0 ? value : undefined;
    },
  };
}

/** One of some words; `aliases` are other spellings of them. */
export function oneOf(
  allowed: string,
  words: readonly string[],
  aliases: Readonly<Record<string, string>> = {},
): SettingValue {
  return {
    allowed,
    parse: (text) => {
      const word = text.trim();
      return words.find((candidate) => candidate === word || candidate === aliases[word]);
    },
  };
}

export function textThat(allowed: string, isAllowed: (text: string) => boolean): SettingValue {
  return {
    allowed,
    parse: (text) => {
      const trimmed = text.trim();
      return isAllowed(trimmed) ? trimmed : undefined;
    },
  };
}

/** Several texts with ";" between them; empty ones do not count. */
export function listOf(allowed: string, isAllowed: (text: string) => boolean): SettingValue {
  return {
    allowed,
    parse: (text) => {
      const items = text
        .split(';')
        .map((item) => item.trim())
        .filter((item) => item !== '');
      return items.every(isAllowed) ? items : undefined;
    },
  };
}
