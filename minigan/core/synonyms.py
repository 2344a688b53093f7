"""What people call a thing elsewhere, and what it is called here: for hints that go by meaning, not by spelling."""

from __future__ import annotations

from collections.abc import Iterable

_CALLED_HERE = {  # name here: names elsewhere, in lower case with underscores
    # Settings and arguments.
    "rate": "lr learning_rate learn_rate lrate alpha eta step_size lr_d d_lr dlr discriminator_lr discriminator_rate",
    "generator_rate": "lr_g g_lr glr generator_lr gen_lr generator_learning_rate",
    "learning_rate": "lr rate eta step_size",
    "batch_size": "batch bs batchsize batch_len minibatch minibatch_size mini_batch_size batch_sz",
    "batch": "batch_size bs batchsize",
    "steps": "epochs epoch n_epochs num_epochs iterations iters niter n_iter num_iter max_iter max_steps train_steps "
    "n_steps num_steps total_steps kimg",
    "latent_size": "z_dim zdim dim_z nz z latent_dim latent_dims latents z_size noise_dim noise_size embedding_dim "
    "latent_channels",
    "latent": "latent_distribution noise_type prior z_dist",
    "beta1": "b1 beta_1 momentum adam_beta1 betas",
    "beta2": "b2 beta_2 adam_beta2",
    "average": "ema ema_decay polyak averaging moving_average swa",
    "optimizer": "optim opt optimiser solver",
    "rate_schedule": "schedule scheduler lr_schedule lr_scheduler lr_decay decay annealing",
    "rate_end": "min_lr lr_min final_lr end_lr",
    "schedule_steps": "decay_steps schedule_length t_max",
    "gradient_limit": "clip_grad grad_clip gradient_clip gradient_clipping max_grad_norm clipnorm clip_norm",
    "weight_limit": "clip clip_value weight_clip weight_clipping clip_weights clamp wclip",
    "spectral_norm": "sn sngan spectral spectral_normalization spectral_normalisation specnorm",
    "penalty": "gp gradient_penalty grad_penalty regularizer regularization reg",
    "penalty_weight": "gp_weight gp_lambda lambda_gp lambda lambd gp_coef gamma r1_gamma r1_weight reg_weight "
    "penalty_lambda",
    "penalty_every": "lazy lazy_reg lazy_regularization d_reg_every reg_interval",
    "n_critic": "ncritic critic_iters critic_steps d_steps d_iters n_disc disc_steps discriminator_steps n_dis k "
    "critic_iterations disc_iters",
    "label_smoothing": "smoothing smooth one_sided one_sided_label_smoothing label_smooth",
    "instance_noise": "noise noise_std input_noise noise_level",
    "packing": "pack pacgan pac m_pack",
    "unroll_steps": "unroll unrolled unrolling unrolled_steps",
    "generator_widths": "ngf gf_dim g_channels g_widths g_hidden generator_channels gen_channels hidden hidden_dim "
    "hidden_size widths channels_g",
    "discriminator_widths": "ndf df_dim d_channels d_widths d_hidden discriminator_channels disc_channels channels_d",
    "image_size": "size img_size imsize im_size resolution res side height width image_shape input_size crop_size",
    "channels": "nc channel n_channels colour color colours colors img_channels grey gray rgb",
    "fit": "pad padding crop letterbox resize keep_aspect",
    "slope": "negative_slope leak leakiness leaky leaky_slope relu_slope",
    "norm_momentum": "bn_momentum batch_norm_momentum batchnorm_momentum",
    "dropout": "drop dropout_rate p_drop",
    # Values of settings.
    "wasserstein": "wgan w wgangp wgan_gp w1 emd earth_mover",
    "wgan-gp": "gp gradient_penalty grad_penalty one_centred",
    "non-saturating": "vanilla gan bce cross_entropy bcewithlogits ns nsgan non_saturated standard original logistic "
    "softplus log dcgan",
    "minimax": "saturating mm",
    "least-squares": "lsgan ls mse l2 lsq squared",
    "hinge": "hinge_loss geometric sagan sngan biggan",
    "relativistic-pairing": "relativistic rsgan rpgan rgan r3gan relativistic_pairs rp",
    "relativistic-average": "ragan rasgan ra esrgan",
    "zero-centred": "zero_centered zerocentered 0_gp zc zero_gp gp0",
    "r1": "r1_reg r1_penalty real_gradient",
    "r1+r2": "r1r2 r1_r2",
    "none": "no off null false nothing",
    "normal": "gaussian gauss randn n01 standard_normal",
    "uniform": "rand unif",
    "adam": "adamw amsgrad",
    "sgd": "gd gradient_descent momentum",
    "constant": "none no fixed",
    "cosine": "cos cosine_annealing",
    "linear": "lin",
    "exponential": "exp step",
    "pad": "letterbox border contain",
    "crop": "cut cover centre center center_crop",
    "float32": "float fp32 f32 single float16 half fp16 bfloat16 bf16",
    "float64": "double fp64 f64",
    "numpy": "cpu np",
    "cupy": "gpu cuda cp",
    "cuda": "gpu cupy",
    # Recipes.
    "mnist-sr": "srgan super_resolution sr",
    "mnist-inpaint": "context_encoder inpainting inpaint",
    "mnist-mlp": "mnist digits mlp dense fc",
    "mnist-dcgan": "cnn conv convolutional",
    "dcgan": "pictures images photos faces celeba cifar cifar10",
    "ring": "8gaussians eight_gaussians gaussians circle mog mixture",
    "grid": "25gaussians twenty_five_gaussians",
    "swiss-roll": "spiral roll swissroll",
    # Commands.
    "train": "fit run start learn",
    "sample": "generate gen draw samples infer inference predict interpolate",
    "evaluate": "eval test score fid metrics measure",
    "upscale": "enlarge super_resolution superres sr upsample",
    "inpaint": "fill repair complete heal restore",
    "recipes": "list models zoo presets configs settings",
    "explain": "trace backward graph",
    "gradcheck": "check verify gradient gradients grad_check check_gradients",
    "bench": "benchmark time speed profile",
    "info": "version versions env doctor devices",
    "help": "h man usage",
    # Options.
    "out": "output o output_dir out_dir outdir save_dir logdir log_dir folder workdir name",
    "data_dir": "data dataset dataroot data_root data_path path datadir input images",
    "n": "num_samples n_samples samples count number num",
    "seed": "random_seed manual_seed rng",
    "threads": "workers num_workers j jobs cores n_jobs",
    "backend": "device gpu cuda cpu use_gpu",
    "resume": "continue restart resume_from",
    "checkpoint": "ckpt snapshot epoch",
    "checkpoint_every": "save_every save_freq save_interval ckpt_every snap",
    "sample_every": "sample_interval image_every picture_every",
    "log_every": "log_interval log_freq print_every",
    "keep_checkpoints": "keep max_to_keep",
    "init_from": "pretrained weights init load load_weights transfer finetune fine_tune warm_start",
    "track": "wandb trackio logger report_to tracker",
    "tensorboard": "tb summary",
    "quiet": "q silent no_progress",
    "nearest": "neighbours neighbors nn knn memorization memorisation",
    "interpolate": "interpolation lerp slerp walk latent_walk",
    "real": "compare side_by_side reals",
    "recipe": "recipe_file model",
}  # fmt: skip


def normalised(name: str) -> str:
    """`name` without what does not matter: dashes in front, capitals, and the kind of separator."""
    return name.lstrip("-").lower().replace("-", "_").replace(" ", "_")


def meant(wrong: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `wrong` means: the same word in another form, or what it is called elsewhere."""
    by_form = {normalised(name): name for name in known}
    word = normalised(wrong)
    if word in by_form:
        return by_form[word]
    return next((by_form[name] for name in _CALLED.get(word, ()) if name in by_form), None)


_CALLED: dict[str, list[str]] = {}
"""For each name elsewhere: what it may mean here, the most likely first."""
for _here, _elsewhere in _CALLED_HERE.items():
    for _word in _elsewhere.split():
        _CALLED.setdefault(_word, []).append(normalised(_here))
