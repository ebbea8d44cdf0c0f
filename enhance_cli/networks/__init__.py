"""Collect the networks, one file each, in torch only. Blocks that several use are in `layers`.

denoising           forward(x, y, t): state and noisy spectrogram, time -> the quantity that the model predicts
  with memory       forward(spectra, state) -> clean spectra and the new state (models.spectral_stream)
repair              the same with speaker embeddings
stems               extract(mix, label) -> first estimate. forward(x, t, label, features) -> refined estimate
bandwidth           forward(levels, known) -> levels, peakiness, or forward(wave) -> wave with a wider band, or, of
                    latents, analyze(wave), condition(mel, noise), forward(x, condition, t), decode(z), vocode(mel, wave)
parts of these      autoencoder_kl, latent_unet, and the vocoders hifigan and bigvgan_sr
speaker embeddings  forward(waves) -> embeddings
sound classes       forward(audio) -> probabilities
"""

from enhance_cli.catalogue import Catalogue

NETWORKS = Catalogue(
    "network",
    __name__,
    {
        "ap_bwe": "ap_bwe:APBWE",
        "autoencoder_kl": "autoencoder_kl:AutoencoderKL",
        "band_levels": "band_levels:BandLevels",
        "band_split_conv": "band_split_conv:BandSplitConv",
        "bs_roformer": "bs_roformer:BSRoformer",
        "bigvgan_sr": "bigvgan_sr:BigVGANSR",
        "bridge_unet": "bridge_unet:BridgeUNet",
        "cnn14_decision_level": "cnn14:Cnn14DecisionLevel",
        "copy_up": "copy_up:CopyUp",
        "deepfilternet": "deepfilternet:DeepFilterNet",
        "dpdfnet": "dpdfnet:DPDFNet",
        "ecapa": "ecapa:Ecapa",
        "ecapa_seed": "ecapa_seed:EcapaSeed",
        "fastenhancer": "fastenhancer:FastEnhancer",
        "ge2e": "ge2e:GE2E",
        "hifigan": "hifigan:HiFiGAN",
        "latent_extender": "latent_extender:LatentExtender",
        "latent_unet": "latent_unet:LatentUNet",
        "lavasr": "lavasr:LavaSR",
        "mel_band_roformer": "mel_band_roformer:MelBandRoformer",
        "ncsnpp": "ncsnpp:NCSNpp",
        "rdm_mlp": "rdm_mlp:RdmMlp",
        "resnet_se34": "resnet_se34:ResNetSE34",
        "wespeaker_resnet34": "wespeaker_resnet34:WeSpeakerResNet34",
        "scnet": "scnet:SCNet",
        "stem_pair": "stem_pair:StemPair",
        "storm": "storm:StoRM",
        "tiger_dnr": "tiger_dnr:TigerDnR",
        "unet1d": "unet1d:UNet1d",
    },
)
