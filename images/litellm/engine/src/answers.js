// From the JSON protocol's answers back to what the GraphQL protocol would have said.

/** One result: {"data": {alias: value}} or the engine's own {"errors": […]}. */
export function decodeAnswer(answer, { name, raw }) {
  if (answer.errors?.length) return { errors: answer.errors }
  const value = Object.values(answer.data)[0] ?? null
  return { data: { [name]: raw ? value : bare(value) } } // raw rows come with their types and without tags
}

// Model reads: GraphQL has no tags, and writes DateTime, Decimal, BigInt, Bytes and Json alike as strings.
function bare(value) {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map(bare)
  if ('$type' in value) return value.value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bare(inner)]))
}
