/**
 * @agent writer
 *
 * The next queue offset of every queue, by topic id. Filled from the ConsumeQueues before the
 * writer runs; afterwards only the writer touches it.
 */
export class QueueOffsets {
  readonly #byTopic: (Float64Array | undefined)[] = [];

  /** The offsets of a topic, long enough to hold `queueId`; a queue never seen starts at 0. */
  of(topicId: number, queueId: number): Float64Array {
    const offsets = this.#byTopic[topicId];
    if (offsets !== undefined && queueId < offsets.length) return offsets;
    const longer = new Float64Array(Math.max(16, queueId + 1, (offsets?.length ?? 0) * 2));
    if (offsets !== undefined) longer.set(offsets);
    this.#byTopic[topicId] = longer;
    return longer;
  }

  set(topicId: number, queueId: number, nextOffset: number): void {
    this.of(topicId, queueId)[queueId] = nextOffset;
  }

  delete(topicId: number): void {
    this.#byTopic[topicId] = undefined;
  }
}
