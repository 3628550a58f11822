/**
 * @agent worker, writer, dispatcher, reactor
 *
 * The kernels of a broker's agents: null where it has no memory for them, or names that are too long.
 */
import { AnswerKernel } from '../kernel/answer-kernel.ts';
import { CopyKernel } from '../kernel/copy-kernel.ts';
import { DispatchKernel } from '../kernel/dispatch-kernel.ts';
import { SendKernel } from '../kernel/send-kernel.ts';
import type { AgentSettings } from './agent-settings.ts';
import { STAGING_BYTES } from './append-batch.ts';
import type { AgentName, BrokerMemory } from './broker-memory.ts';
import { READ_BYTES } from './frame-proxy.ts';
import { specialNames } from './property-copier.ts';
import { propertySuffix } from './send-encoder.ts';

/** That of a request worker, whose requests stand in `source` and whose records go to `target`. */
export function sendKernelOf(
  { kernel }: BrokerMemory,
  settings: AgentSettings,
  name: AgentName,
  source: Buffer,
  target: Buffer,
): SendKernel | null {
  if (kernel === null) return null;
  const { regionId, traceOn, storeHost } = settings;
  const { clusterName } = settings.control;
  const { memory, states } = kernel;
  const suffix = propertySuffix({ regionId, traceOn, clusterName });
  const stateOffset = states[name];
  return unlessTooLong(
    () => new SendKernel({ memory, stateOffset, source, target, storeHost, suffix, specialNames }),
  );
}

export function dispatchKernelOf({ kernel }: BrokerMemory): DispatchKernel | null {
  return kernel === null ? null : new DispatchKernel(kernel.memory, kernel.states['dispatcher']);
}

/** That of the reactor; `parts` as `AnswerEncoder` has them. */
export function answerKernelOf(
  { kernel }: BrokerMemory,
  parts: readonly Uint8Array[],
): AnswerKernel | null {
  if (kernel === null) return null;
  return unlessTooLong(() => new AnswerKernel(kernel.memory, kernel.states['reactor'], parts));
}

/** Of the buffer that sockets are read to. */
export function readKernelOf({ kernel }: BrokerMemory): CopyKernel | null {
  return kernel === null ? null : new CopyKernel(kernel.memory, kernel.states['read'], READ_BYTES);
}

/** Of the memory in which the writer puts short records together. */
export function stagingKernelOf({ kernel }: BrokerMemory): CopyKernel | null {
  return kernel === null
    ? null
    : new CopyKernel(kernel.memory, kernel.states['staging'], STAGING_BYTES);
}

function unlessTooLong<Kernel>(make: () => Kernel): Kernel | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
