/**
 * @agent any
 *
 * Permission bits of a topic or broker. Source: PermName.java.
 */
export const Perm = {
  /** Topics created by a first send take their settings from a topic with this bit. */
  INHERIT: 1,
  WRITE: 2,
  READ: 4,
  PRIORITY: 8,
} as const;
