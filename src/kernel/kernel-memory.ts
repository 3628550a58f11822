/**
 * @agent any
 *
 * WebAssembly, and the memory that it shares with threads: it sees one, so all that a kernel reads and
 * writes is made in that.
 */
import { kernelCode } from './kernel-code.ts';

/** Memory of WebAssembly that threads share. */
export interface KernelMemory {
  readonly buffer: SharedArrayBuffer;
}

/** What is used of it: TypeScript has its types with those of browsers only. */
export const webAssembly = (
  globalThis as unknown as {
    WebAssembly: {
      Memory: new (options: { initial: number; maximum: number; shared: true }) => KernelMemory;
      Module: new (code: Uint8Array) => object;
      Instance: new (
        module: object,
        imports: { env: { memory: KernelMemory } },
      ) => { exports: Record<string, unknown> };
    };
  }
).WebAssembly;

/** What steps of 16 bytes may go past the end of a memory's last use. */
const MARGIN_BYTES = 4096;
const PAGE_BYTES = 65_536;

/** Memory that threads and WebAssembly share; null where the system has no address space left for one. */
export function allocateKernelMemory(bytes: number): KernelMemory | null {
  const pages = Math.ceil((bytes + MARGIN_BYTES) / PAGE_BYTES);
  try {
    return new webAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

let compiledModule: object | null = null;

/** The kernels' functions, working on this memory. */
export function instantiate(memory: KernelMemory): Record<string, unknown> {
  compiledModule ??= new webAssembly.Module(Buffer.from(kernelCode, 'base64'));
  return new webAssembly.Instance(compiledModule, { env: { memory } }).exports;
}
