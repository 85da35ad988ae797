/** Subgroups for the kernels of software adapters. */

/**
 * wgpu has no name for a browser's subgroups and so cannot ask for them. Devices made in this realm from here on have them where their
 * adapter does; the engine learns of it from the property `polysketchSubgroups` of the global object (src/gpu/context.rs).
 */
export function askForSubgroups(): void {
  const realm = globalThis as { GPUAdapter?: { prototype: GPUAdapter }; polysketchSubgroups?: boolean }
  const prototype = realm.GPUAdapter?.prototype
  if (!prototype || realm.polysketchSubgroups !== undefined) return
  const requestDevice = prototype.requestDevice
  realm.polysketchSubgroups = false
  prototype.requestDevice = function (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
    const there = this.features.has("subgroups")
    realm.polysketchSubgroups = there
    const requiredFeatures = [...(descriptor?.requiredFeatures ?? []), ...(there ? (["subgroups"] as GPUFeatureName[]) : [])]
    return requestDevice.call(this, { ...descriptor, requiredFeatures })
  }
}
