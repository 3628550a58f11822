/**
 * @agent any
 *
 * Compiles `kernel.ts` (AssemblyScript) to WebAssembly, and writes it with the layout of its state to
 * `src/kernel/kernel-code.ts`: `npm run kernel`. A test holds that what is committed is what comes out.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { webAssembly } from '../src/kernel/kernel-memory.ts';

const options = [
  '-O3',
  '--runtime=stub',
  '--noAssert',
  '--importMemory',
  '--sharedMemory',
  '--initialMemory=1',
  '--maximumMemory=65536',
  '--enable=simd',
  '--enable=threads',
  '--enable=bulk-memory',
];

/** The text of `kernel-code.ts`. @throws Error with what the compiler says */
export function compiledKernel(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'kernel-'));
  const outFile = path.join(directory, 'kernel.wasm');
  // As a command: the compiler's own types would change those of all other files.
  const compiler = path.join(import.meta.dirname, '../node_modules/assemblyscript/bin/asc.js');
  const source = path.join(import.meta.dirname, 'kernel.ts');
  let binary: Buffer;
  try {
    execFileSync(process.execPath, [compiler, source, ...options, '--outFile', outFile]);
    binary = fs.readFileSync(outFile);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
  const memory = new webAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const { exports } = new webAssembly.Instance(new webAssembly.Module(binary), { env: { memory } });
  // Constants are exported as globals, whose value is a property.
  const places = Object.entries(exports).flatMap(([name, exported]) =>
    typeof exported === 'object' && exported !== null && 'value' in exported
      ? [`  ${name}: ${String(exported.value)},\n`]
      : [],
  );
  return `/**
 * @agent any
 *
 * Made by \`npm run kernel\` of \`assembly/kernel.ts\`; not to be edited. The WebAssembly module in base64, and
 * where things stand in a state.
 */
export const kernelLayout = {
${places.join('')}} as const;

export const kernelCode =
  '${binary.toString('base64')}';
`;
}

if (import.meta.main)
  fs.writeFileSync(
    path.join(import.meta.dirname, '../src/kernel/kernel-code.ts'),
    compiledKernel(),
  );
