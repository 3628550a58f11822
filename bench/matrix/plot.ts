/**
 * Line charts as SVG text, without a library: the page must open anywhere, for years.
 */
const WIDTH = 640;
const HEIGHT = 300;
const LEFT = 60;
const BOTTOM = 36;
const TOP = 12;
const RIGHT = 130;

export interface Line {
  readonly name: string;
  readonly color: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Axis {
  readonly isLog: boolean;
  readonly ticks: readonly (readonly [at: number, text: string])[];
  readonly label: string;
}

/** Points outside the ticks of the x axis are cut off; the y axis fits the points unless it has ticks. */
export function lineChart(lines: readonly Line[], xAxis: Axis, yAxis: Omit<Axis, 'ticks'>): string {
  const ys = lines.flatMap((line) => line.points.map(([, y]) => y)).filter((y) => y > 0);
  if (ys.length === 0) return '';
  const yTicks = yAxis.isLog ? decades(Math.min(...ys), Math.max(...ys)) : steps(Math.max(...ys));
  const xs = xAxis.ticks.map(([at]) => at);
  const x = scale(xAxis.isLog, [Math.min(...xs), Math.max(...xs)], [LEFT, WIDTH - RIGHT]);
  const y = scale(yAxis.isLog, [yTicks[0], yTicks.at(-1) ?? 1], [HEIGHT - BOTTOM, TOP]);
  const parts = [
    ...xAxis.ticks.map(
      ([at, text]) =>
        `<line class="grid" x1="${x(at)}" x2="${x(at)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>` +
        `<text x="${x(at)}" y="${HEIGHT - BOTTOM + 14}" text-anchor="middle">${text}</text>`,
    ),
    ...yTicks.map(
      (at) =>
        `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(at)}" y2="${y(at)}"/>` +
        `<text x="${LEFT - 6}" y="${y(at) + 4}" text-anchor="end">${Number(at.toPrecision(3))}</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${escapeText(xAxis.label)}</text>`,
    `<text transform="translate(14 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">${escapeText(yAxis.label)}</text>`,
    ...lines.map((line, index) => {
      const path = line.points
        .filter(([, value]) => value > 0 || !yAxis.isLog)
        .map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`)
        .join(' ');
      const legendY = TOP + 14 + 16 * index;
      return (
        `<polyline points="${path}" fill="none" stroke="${line.color}" stroke-width="2"/>` +
        `<line x1="${WIDTH - RIGHT + 10}" x2="${WIDTH - RIGHT + 26}" y1="${legendY - 4}" y2="${legendY - 4}" stroke="${line.color}" stroke-width="3"/>` +
        `<text x="${WIDTH - RIGHT + 30}" y="${legendY}">${escapeText(line.name)}</text>`
      );
    }),
  ];
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">${parts.join('')}</svg>`;
}

export function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

function scale(
  isLog: boolean,
  [from, to]: readonly [number, number],
  [start, end]: readonly [number, number],
): (value: number) => number {
  const place = (value: number): number => (isLog ? Math.log10(value) : value);
  const span = place(to) - place(from) || 1;
  return (value) => start + ((place(value) - place(from)) / span) * (end - start);
}

function decades(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  return Array.from({ length: Math.max(1, last - first) + 1 }, (_, index) => 10 ** (first + index));
}

function steps(high: number): number[] {
  const step = 10 ** Math.floor(Math.log10(high)) / 2;
  return Array.from({ length: Math.ceil(high / step) + 1 }, (_, index) => index * step);
}
