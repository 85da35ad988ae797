/** Subgroups for the kernels of software adapters. */

/**
 * wgpu has no name for a browser's subgroups and so cannot ask for them. Adapters found in this realm from here on tell the engine of
 * theirs by the property `polysketchSubgroups` of the global object (src/gpu/adapter.rs), and devices have them where their adapter does.
 */
export function askForSubgroups(): void {
  const realm = globalThis as { GPU?: { prototype: GPU }; GPUAdapter?: { prototype: GPUAdapter }; polysketchSubgroups?: boolean }
  const [gpu, adapter] = [realm.GPU?.prototype, realm.GPUAdapter?.prototype]
  if (!gpu || !adapter || realm.polysketchSubgroups !== undefined) return
  const { requestAdapter } = gpu
  const { requestDevice } = adapter
  realm.polysketchSubgroups = false
  gpu.requestAdapter = async function (this: GPU, options?: GPURequestAdapterOptions) {
    const found = await requestAdapter.call(this, options)
    realm.polysketchSubgroups = found?.features.has("subgroups") ?? false
    return found
  }
  adapter.requestDevice = function (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
    const subgroups = this.features.has("subgroups") ? ["subgroups" as GPUFeatureName] : []
    return requestDevice.call(this, { ...descriptor, requiredFeatures: [...(descriptor?.requiredFeatures ?? []), ...subgroups] })
  }
}
